// A pool that is a directory: which of its files are volumes, and opening them without ever leaving it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/volume/volume_pool.h"

namespace berth::server {

class PoolDirectory final : public VolumePool {
 public:
  // NOT_FOUND, POOL_NOT_FOUND, without a directory: the configuration has no such pool. FAILED_PRECONDITION:
  // POOL_NOT_AVAILABLE (there is no such directory); POOL_NOT_PRIVATE: others than its
  // owner, who must be root or whom the daemon runs as, may write to it, and with it say what stands on what.
  static Result<PoolDirectory> Open(const PoolSettings& pool);

  int fd() const { return fd_.get(); }

  Result<std::vector<VolumeFile>> List() const override;
  std::string PathOf(const VolumeFile& file) const override;
  // A regular file directly in the directory, not by way of any link.
  Result<UniqueFd> OpenVolume(const VolumeFile& file, int flags) const override;
  Result<std::unique_ptr<NewVolume>> Begin(const VolumeFile& file, uint64_t size_bytes) const override;
  Status Remove(const VolumeFile& file, UniqueFd lock) const override;
  Result<PoolSpace> Space() const override;
  void CleanUp() const override;

  // Gives a volume's file another name, that nothing has. The volume may be in use.
  Status Rename(const VolumeFile& from, const VolumeFile& to) const override;

 private:
  PoolDirectory(std::string pool, std::string path, UniqueFd fd)
      : VolumePool(std::move(pool)), path_(std::move(path)), fd_(std::move(fd)) {}

  std::string path_;
  UniqueFd fd_;
};

}  // namespace berth::server

// A pool's directory: which of its files are volumes, and opening them without ever leaving it.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "server/volume/volume_name.h"

namespace berth::server {

struct PoolSettings {
  std::string id;         // "fast"
  std::string directory;  // "/var/lib/berth/fast"
  // What is promised may be so many times what the file system holds; 0 for no limit.
  double overcommit_ratio = 0;
};

// Any thread.
class PoolDirectory {
 public:
  static constexpr size_t kMaxVolumes = 10'000;

  // NOT_FOUND, POOL_NOT_FOUND, without a directory: the configuration has no such pool. FAILED_PRECONDITION:
  // POOL_NOT_AVAILABLE (there is no such directory); POOL_NOT_PRIVATE: others than its
  // owner, who must be root or whom the daemon runs as, may write to it, and with it say what stands on what.
  static Result<PoolDirectory> Open(const PoolSettings& pool);

  const std::string& pool() const { return pool_; }
  int fd() const { return fd_.get(); }
  std::string NameOf(std::string_view volume) const;  // "pools/fast/volumes/web"
  std::string PathOf(const VolumeFile& file) const;   // For people.

  // By id. RESOURCE_EXHAUSTED, POOL_TOO_LARGE, for more than kMaxVolumes.
  Result<std::vector<VolumeFile>> List() const;
  // NOT_FOUND, VOLUME_NOT_FOUND. FAILED_PRECONDITION, VOLUME_AMBIGUOUS, if files of two names claim the id.
  Result<VolumeFile> Find(std::string_view volume) const;
  // The same, among what List returned: for who looks for more than one.
  Result<VolumeFile> Find(std::string_view volume, const std::vector<VolumeFile>& among) const;
  // The ids of those that stand on it.
  Result<std::vector<std::string>> DependentsOf(std::string_view volume) const;

  // A regular file directly in the directory, not by way of any link. NOT_FOUND, VOLUME_NOT_FOUND;
  // PERMISSION_DENIED, VOLUME_NOT_A_FILE.
  Result<UniqueFd> OpenVolume(const VolumeFile& file, int flags) const;

  // Gives a volume's file another name, that nothing has. The volume may be in use.
  Status Rename(const VolumeFile& from, const VolumeFile& to) const;
  // And what is in it, for good.
  Status Remove(const VolumeFile& file) const;

  // Removes what others that made volumes left behind when they were ended.
  void CleanUp() const;

 private:
  PoolDirectory(std::string pool, std::string path, UniqueFd fd)
      : pool_(std::move(pool)), path_(std::move(path)), fd_(std::move(fd)) {}

  std::string pool_;
  std::string path_;
  UniqueFd fd_;
};

}  // namespace berth::server

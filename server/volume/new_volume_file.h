// The file of a volume that is being made.
#pragma once

#include <string>

#include "base/error.h"
#include "base/unique_fd.h"
#include "server/volume/volume_pool.h"

namespace berth::server {

// Locked until it has its name. What a process leaves that ends meanwhile, RemoveLeftover removes, or the
// next Create for the same volume.
class NewVolumeFile final : public NewVolume {
 public:
  // `directory` is a pool's, borrowed. ABORTED, VOLUME_BUSY, if somebody is making it already.
  static Result<NewVolumeFile> Create(int directory, const VolumeName& name);
  NewVolumeFile(NewVolumeFile&&) = default;
  ~NewVolumeFile() override;

  int fd() const override { return fd_.get(); }
  // No link in the directory can come between.
  std::string path() const override;
  Status Publish(const VolumeFile& as) override;

  // True if the file is one and was removed.
  static bool RemoveLeftover(int directory, const std::string& file_name);

 private:
  NewVolumeFile(int directory, VolumeName name, std::string hidden, UniqueFd fd)
      : directory_(directory), name_(std::move(name)), hidden_(std::move(hidden)), fd_(std::move(fd)) {}

  int directory_ = -1;
  VolumeName name_;
  std::string hidden_;
  UniqueFd fd_;
};

// openat2(2) that follows no links and does not leave `directory`.
Result<UniqueFd> OpenBeneath(int directory, const std::string& name, int flags, unsigned mode);

}  // namespace berth::server

// The file of a volume that is being made.
#pragma once

#include <string>

#include "base/error.h"
#include "base/unique_fd.h"
#include "server/volume/volume_name.h"

namespace berth::server {

// Hidden and locked until Publish gives it its name, complete and on the disk; destroyed before that, nothing
// is left of it. What a process leaves that ends meanwhile, RemoveLeftover removes, or the next Create for
// the same volume.
class NewVolumeFile {
 public:
  // `directory` is a pool's, borrowed. ABORTED, VOLUME_BUSY, if somebody is making it already.
  static Result<NewVolumeFile> Create(int directory, const VolumeName& name);
  NewVolumeFile(NewVolumeFile&&) = default;
  ~NewVolumeFile();

  int fd() const { return fd_.get(); }
  // For what opens by name: no link in the directory can come between.
  std::string path() const;

  // ALREADY_EXISTS, VOLUME_EXISTS.
  Status Publish(const VolumeFile& as);

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

// ALREADY_EXISTS, VOLUME_EXISTS, of the volume of this name.
Error VolumeExists(const std::string& name);

// openat2(2) that follows no links and does not leave `directory`.
Result<UniqueFd> OpenBeneath(int directory, const std::string& name, int flags, unsigned mode);

}  // namespace berth::server

// An LVM volume group, by lvm's own program.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "server/volume/lvm_report.h"
#include "server/volume/pool_settings.h"

namespace berth::server {

// Any thread: lvm has a lock of its own. Of any call: FAILED_PRECONDITION, POOL_NOT_AVAILABLE, if the program
// is not there; DEADLINE_EXCEEDED, LVM_TIMEOUT; FAILED_PRECONDITION, LVM_FAILED, with what lvm says.
class LvmGroup {
 public:
  explicit LvmGroup(PoolSettings pool) : pool_(std::move(pool)) {}

  const LvmThinSettings& settings() const { return *pool_.lvm_thin; }
  // "vg0/web", as lvm calls it.
  std::string NameOf(std::string_view volume) const;
  // "/dev/vg0/web"
  std::string NodeOf(std::string_view volume) const;

  // All that are not hidden. FAILED_PRECONDITION, POOL_NOT_AVAILABLE, if there is no such group.
  Result<std::vector<LogicalVolume>> List() const;

  // The first word is the command: {"lvremove", "--yes", "vg0/web"}.
  Status Run(std::vector<std::string> words) const;
  Status Remove(const std::vector<std::string>& volumes) const;
  // Of a volume that may be in use.
  Status Rename(std::string_view from, std::string_view to) const;

  // Its device, made active if it is not; for writing by nobody else, nor while it is mounted. NOT_FOUND,
  // VOLUME_NOT_FOUND, if it is not there, and then it is not made active; FAILED_PRECONDITION, IMAGE_IN_USE;
  // PERMISSION_DENIED, VOLUME_NOT_A_FILE, if what is there is no device.
  Result<UniqueFd> Open(std::string_view volume, int flags) const;
  // The same of what is active, as all is that anybody has open.
  Result<UniqueFd> OpenActive(std::string_view volume, int flags) const;

  // INVALID_ARGUMENT, NAME_TOO_LONG, if the device mapper's name of a volume like that would be.
  Status CheckName(std::string_view volume) const;

  // About the pool, with what a person can do about it.
  Error About(Code code, const char* reason, std::string message) const;

 private:
  Result<std::string> Output(std::vector<std::string> words) const;

  PoolSettings pool_;
};

}  // namespace berth::server

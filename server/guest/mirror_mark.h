// What says that a disk's copy (MirrorDisk) was complete before the guest went on with it, for who finds
// neither the guest nor its monitor any more: a file in the daemon's state directory, whose first byte the
// monitor writes.
#pragma once

#include <string>

#include "base/error.h"
#include "base/unique_fd.h"

namespace berth::server {

// Of a guest one at most; under its operation.
class MirrorMark {
 public:
  enum class State : uint8_t {
    kNone,      // The copy has not got its name, or there is none.
    kNotSet,    // The guest has not gone on with it.
    kComplete,  // It shows what the disk did when the guest went on with it, or was about to.
  };

  MirrorMark(const std::string& state_dir, const std::string& guest_uid)
      : directory_(state_dir), path_(state_dir + "/mirror-" + guest_uid) {}

  // Not set, durably. For the monitor, open for writing.
  Result<UniqueFd> Create() const;
  Result<State> Read() const;
  Status Remove() const;

 private:
  std::string directory_, path_;
};

}  // namespace berth::server

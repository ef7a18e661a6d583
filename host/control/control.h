// What everything that changes a host is given.
//
// Changes come in three parts. Plan…() reads and checks, changes nothing, and returns a plain struct: what
// will be done and what was there before. The caller stores it (host/control/record.h), then applies it; the
// undo needs nothing but the struct, may run after a crash at any point (nothing done yet, half done, all
// done, undone already), and succeeds when the host is as it was.
#pragma once

#include <chrono>
#include <functional>

#include "host/control/sysfs_writer.h"
#include "host/roots.h"

namespace berth::host {

struct HostControl {
  HostRoots roots;
  SysfsWriter* writer = nullptr;  // Borrowed.
  // How long one step of the kernel's may take: an unbind, a probe, the appearance of VFs, the death of a
  // cgroup.
  std::chrono::milliseconds patience{10'000};
};

// Asks until `done` says true or the time is over; the last answer.
bool WaitUntil(std::chrono::milliseconds patience, const std::function<bool()>& done);

}  // namespace berth::host

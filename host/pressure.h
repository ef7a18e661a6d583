// How long tasks wait for what there is too little of: Linux's PSI, Documentation/accounting/psi.rst.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/unique_fd.h"

namespace berth::host {

struct Stall {
  double percent = 0;     // Of the last ten seconds (avg10).
  uint64_t total_us = 0;  // Since the beginning.

  friend bool operator==(const Stall&, const Stall&) = default;
};
struct Pressure {
  Stall some;  // At least one task waited.
  Stall full;  // All did.

  friend bool operator==(const Pressure&, const Pressure&) = default;
};

// None for what is no such text. The line "full" may be missing: a host's CPUs have none before Linux 5.13.
std::optional<Pressure> ParsePressure(std::string_view text);
// A cgroup's "memory.pressure", or "/proc/pressure/memory"; none where the kernel has no PSI.
std::optional<Pressure> ReadPressure(const std::string& path);

// A descriptor that is ready (POLLPRI) when some task has waited for `stall` within `window` (500 ms to 10
// s).
Result<UniqueFd> WatchPressure(const std::string& path, std::chrono::microseconds stall,
                               std::chrono::microseconds window);

}  // namespace berth::host

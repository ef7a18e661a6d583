// What an image says of a snapshot inside it.
#pragma once

#include <cstdint>
#include <string>

namespace berth::block {

struct Snapshot {
  std::string id;
  std::string name;
  uint64_t vm_state_bytes = 0;
  uint64_t disk_bytes = 0;
  int64_t date_seconds = 0;  // Since the epoch.
  uint32_t date_nanoseconds = 0;
  uint64_t vm_clock_ns = 0;
  int64_t icount = -1;  // -1: not recorded.
};

}  // namespace berth::block

// Snapshots inside an image, and dirty bitmaps: second interfaces of the formats that have them
// (dynamic_cast<SnapshotStore*>(image)).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

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

// The image is used by nobody else while any of these runs.
class SnapshotStore {
 public:
  virtual ~SnapshotStore() = default;
  virtual std::vector<Snapshot> Snapshots() const = 0;
  virtual Status CreateSnapshot(const Snapshot& description) = 0;
  // By id first, then by name. NOT_FOUND.
  virtual Status ApplySnapshot(std::string_view id_or_name) = 0;
  virtual Status DeleteSnapshot(std::string_view id_or_name) = 0;
};

}  // namespace berth::block

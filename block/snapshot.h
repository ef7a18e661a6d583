// Snapshots inside an image: what it says of them, and what can be done with them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "block/node.h"

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

// Which snapshot: what is given must be the same.
struct SnapshotKey {
  std::optional<std::string> id{};
  std::optional<std::string> name{};
};

// One of now, with this name; the image chooses its id.
Snapshot NewSnapshot(std::string name);

// The index of the first that fits; nothing if there is none.
std::optional<size_t> FindSnapshot(std::span<const Snapshot> snapshots, const SnapshotKey& key);
// What people write: an id, or else a name.
std::optional<SnapshotKey> FindSnapshotByText(std::span<const Snapshot> snapshots, std::string_view text);

// Implemented by images that have snapshots inside. Nobody else uses the image during a call. A crash during
// one leaves the image as it was before or as it is after.
class SnapshotStore {
 public:
  virtual ~SnapshotStore() = default;
  // Of the disk as it is now, and of what was written as the machine's state. The id is chosen here.
  virtual Status CreateSnapshot(Snapshot snapshot) = 0;
  // The disk gets the content, and the size, that it had then. NOT_FOUND.
  virtual Status ApplySnapshot(const SnapshotKey& key) = 0;
  virtual Status DeleteSnapshot(const SnapshotKey& key) = 0;
  // From now on the image, which is open for reading only, reads as it did then. NOT_FOUND.
  virtual Status ViewSnapshot(const SnapshotKey& key) = 0;
  // Reads and writes the state of the machine, whose bytes are counted from 0. 0, or an errno value.
  virtual int PerformOnVmState(const Request& request) = 0;
};

}  // namespace berth::block

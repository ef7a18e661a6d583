// The front-end's memory, as a vhost-user back-end has it: files that it was sent, mapped.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "hw/memory/guest_memory.h"
#include "hw/vhost_user/protocol.h"

namespace berth::hw {

// A front-end that makes a file shorter afterwards ends this process: it can hurt only who serves it.
class VhostUserMemoryTable {
 public:
  VhostUserMemoryTable() = default;
  ~VhostUserMemoryTable() { Clear(); }
  VhostUserMemoryTable(const VhostUserMemoryTable&) = delete;

  // INVALID_ARGUMENT for a region that is empty, wraps, is not in its file, or overlaps another;
  // RESOURCE_EXHAUSTED for more than kVhostUserMaxRegions, or if it cannot be mapped.
  Status Add(const VhostUserMemoryRegion& region, UniqueFd file);
  // The one with these addresses and size. NOT_FOUND.
  Status Remove(const VhostUserMemoryRegion& region);
  void Clear();

  // As the guest addresses it. Valid until the table changes.
  std::unique_ptr<GuestMemory> Build() const;
  // The guest's address of one of the front-end's.
  std::optional<uint64_t> GuestAddressOf(uint64_t user_address) const;

 private:
  struct Mapped {
    VhostUserMemoryRegion region;
    UniqueFd file;
    uint8_t* start = nullptr;  // Of the file.
    uint64_t mapped_bytes = 0;
  };
  std::list<Mapped> regions_;
};

}  // namespace berth::hw

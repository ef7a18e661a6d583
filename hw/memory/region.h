// The region tree: what is where in an address space of the guest, before overlaps are resolved.
//
// A region is a container, RAM, device memory (a mapped BAR), an MMIO handler, or an alias of a part of
// another region. Regions nest at offsets and overlap by priority; AddressSpace flattens the tree into a
// FlatView. The owner of a region (a device) keeps it alive while it is in the tree; a region leaves its
// parent when it is destroyed.
//
// Threads: change the tree only inside an AddressSpace::Transaction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace berth::hw {

// Answers accesses that trap. Called from several vCPU threads at once. `offset` is from the start of the
// region; `size` is 1, 2, 4 or 8, and the access lies inside the region. A device never fails an access: it
// answers as hardware would (all ones for what is not there), and counts.
class IoHandler {
 public:
  virtual ~IoHandler() = default;
  virtual uint64_t Read(uint64_t offset, unsigned size) = 0;
  virtual void Write(uint64_t offset, unsigned size, uint64_t value) = 0;
};

// Memory of this process that the guest sees. `fd` and `fd_offset` say what it is a mapping of, for those who
// map it once more (vhost-user, dma-buf); fd is -1 where there is no such thing. Borrowed: whoever mapped it
// outlives the region.
struct HostMapping {
  uint8_t* address = nullptr;
  uint64_t size = 0;
  int fd = -1;
  uint64_t fd_offset = 0;
};

// A write of the guest that signals an eventfd instead of calling the handler (KVM_IOEVENTFD). size 0 matches
// any width.
struct IoEvent {
  uint64_t offset = 0;
  unsigned size = 0;
  std::optional<uint64_t> value;
  int eventfd = -1;  // Borrowed.
  friend bool operator==(const IoEvent&, const IoEvent&) = default;
};

class Region {
 public:
  enum class Kind { kContainer, kRam, kDeviceMemory, kIo, kAlias };

  // A container is transparent where no child is.
  static Region Container(std::string name, uint64_t size);
  // Guest RAM (also ROM, when not writable): a mapping of it that fails is fatal.
  static Region Ram(std::string name, HostMapping mapping, bool writable = true);
  // A device's memory mapped straight into the guest. A listener that cannot map it says so, and the guest
  // runs on. Accesses that trap all the same go to `trapped`, if there is one, and not through the mapping:
  // touching a mapping that the device has withdrawn would kill the process.
  static Region DeviceMemory(std::string name, HostMapping mapping, IoHandler* trapped = nullptr);
  static Region Io(std::string name, uint64_t size, IoHandler* handler);
  // Shows [offset, offset + size) of `target` (borrowed; it need not be in the tree itself).
  static Region Alias(std::string name, Region* target, uint64_t offset, uint64_t size);

  Region(Region&& other) = delete;
  Region& operator=(Region&&) = delete;
  ~Region();

  // Puts `child` at `offset`; where children overlap, the higher priority is seen, and among equals the later
  // one.
  void Add(Region* child, uint64_t offset, int priority = 0);
  void Remove(Region* child);
  bool attached() const { return parent_ != nullptr; }
  uint64_t offset_in_parent() const { return offset_; }

  // Traps replaced by eventfds; kIo only.
  void AddIoEvent(const IoEvent& event) { io_events_.push_back(event); }
  void RemoveIoEvent(const IoEvent& event) { std::erase(io_events_, event); }

  Kind kind() const { return kind_; }
  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }
  bool writable() const { return writable_; }
  IoHandler* handler() const { return handler_; }
  const HostMapping& mapping() const { return mapping_; }
  const std::vector<IoEvent>& io_events() const { return io_events_; }
  const std::vector<Region*>& children() const { return children_; }  // Highest priority first.
  Region* alias_target() const { return alias_target_; }
  uint64_t alias_offset() const { return alias_offset_; }

 private:
  Region(Kind kind, std::string name, uint64_t size) : kind_(kind), name_(std::move(name)), size_(size) {}
  Region(Kind kind, std::string name, HostMapping mapping, bool writable, IoHandler* handler);
  Region(std::string name, uint64_t size, IoHandler* handler);
  Region(std::string name, Region* target, uint64_t offset, uint64_t size);

  const Kind kind_;
  const std::string name_;
  const uint64_t size_;
  bool writable_ = true;
  IoHandler* handler_ = nullptr;
  HostMapping mapping_;
  std::vector<IoEvent> io_events_;
  Region* alias_target_ = nullptr;
  uint64_t alias_offset_ = 0;

  Region* parent_ = nullptr;
  uint64_t offset_ = 0;
  int priority_ = 0;
  std::vector<Region*> children_;
};

}  // namespace berth::hw

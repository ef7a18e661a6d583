#include "hw/memory/region.h"

#include <algorithm>

#include "base/error.h"

namespace berth::hw {

Region Region::Container(std::string name, uint64_t size) {
  return Region(Kind::kContainer, std::move(name), size);
}

Region::Region(Kind kind, std::string name, HostMapping mapping, bool writable, IoHandler* handler)
    : kind_(kind),
      name_(std::move(name)),
      size_(mapping.size),
      writable_(writable),
      handler_(handler),
      mapping_(mapping) {}

Region::Region(std::string name, uint64_t size, IoHandler* handler)
    : kind_(Kind::kIo), name_(std::move(name)), size_(size), handler_(handler) {}

Region::Region(std::string name, Region* target, uint64_t offset, uint64_t size)
    : kind_(Kind::kAlias),
      name_(std::move(name)),
      size_(size),
      alias_target_(target),
      alias_offset_(offset) {}

Region Region::Ram(std::string name, HostMapping mapping, bool writable) {
  return Region(Kind::kRam, std::move(name), mapping, writable, nullptr);
}

Region Region::DeviceMemory(std::string name, HostMapping mapping, IoHandler* trapped) {
  return Region(Kind::kDeviceMemory, std::move(name), mapping, true, trapped);
}

Region Region::Io(std::string name, uint64_t size, IoHandler* handler) {
  return Region(std::move(name), size, handler);
}

Region Region::Alias(std::string name, Region* target, uint64_t offset, uint64_t size) {
  return Region(std::move(name), target, offset, size);
}

Region::~Region() {
  if (parent_ != nullptr) parent_->Remove(this);
  for (Region* child : children_) child->parent_ = nullptr;
}

void Region::Add(Region* child, uint64_t offset, int priority) {
  CHECK(child->parent_ == nullptr && child != this);
  child->parent_ = this;
  child->offset_ = offset;
  child->priority_ = priority;
  const auto position = std::find_if(children_.begin(), children_.end(), [priority](const Region* other) {
    return other->priority_ <= priority;
  });
  children_.insert(position, child);
}

void Region::Remove(Region* child) {
  CHECK(child->parent_ == this);
  std::erase(children_, child);
  child->parent_ = nullptr;
}

}  // namespace berth::hw

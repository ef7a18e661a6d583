#include "vfio/dma_listener.h"

#include "base/log.h"

namespace berth::vfio {

DmaListener::~DmaListener() {
  while (!mapped_.empty()) Unmap({mapped_.begin()->first, mapped_.begin()->second});
}

Status DmaListener::Added(const hw::FlatRange& range) {
  if (range.kind == hw::Region::Kind::kIo) return Ok();
  TRY(space_->Map({.iova = range.start,
                   .address = range.mapping.address,
                   .size = range.size,
                   .writable = range.writable,
                   .device_memory = range.kind == hw::Region::Kind::kDeviceMemory}));
  mapped_[range.start] = range.size;
  return Ok();
}

void DmaListener::Removed(const hw::FlatRange& range) {
  const auto found = mapped_.find(range.start);
  if (found != mapped_.end()) Unmap({found->first, found->second});
}

void DmaListener::Unmap(Range range) {
  mapped_.erase(range.start);
  const Status unmapped = space_->Unmap(range);
  // A device that can still reach memory which is about to be something else must not go on.
  if (!unmapped) LOG_ERROR("{}", unmapped.error().message());
  CHECK(unmapped);
}

}  // namespace berth::vfio

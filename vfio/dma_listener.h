// The guest's memory as assigned devices see it: every range of RAM, and best effort of device memory, mapped
// for DMA at its guest-physical address.
#pragma once

#include <cstdint>
#include <map>

#include "hw/memory/address_space.h"
#include "vfio/dma_space.h"

namespace berth::vfio {

// RAM that cannot be mapped is an error, told with its reason; device memory that cannot be is reported by
// the address space and only costs peer-to-peer DMA to it. The guest's reset of a BAR's decoding takes its
// mapping away before the device's memory goes.
class DmaListener final : public hw::MemoryListener {
 public:
  // `space` outlives this. Everything that is still mapped is unmapped when this goes.
  explicit DmaListener(DmaSpace* space) : space_(space) {}
  ~DmaListener() override;
  DmaListener(const DmaListener&) = delete;

  Status Added(const hw::FlatRange& range) override;
  void Removed(const hw::FlatRange& range) override;

 private:
  void Unmap(Range range);

  DmaSpace* const space_;
  std::map<uint64_t, uint64_t> mapped_;  // Sizes by guest address.
};

}  // namespace berth::vfio

#include "hw/virtio/scsi_config.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace berth::hw {

ScsiConfig::ScsiConfig(uint16_t request_queues, uint16_t queue_size, uint32_t units) {
  static_assert(offsetof(Layout, sense_size) == 20 && sizeof(Layout) == 36);
  layout_.num_queues = request_queues;
  layout_.seg_max = queue_size - 2u;  // But for the header and the response.
  layout_.cmd_per_lun = queue_size;
  layout_.max_lun = units - 1;
}

void ScsiConfig::Read(uint32_t offset, std::span<uint8_t> bytes) const {
  Layout layout = layout_;
  layout.sense_size = sense_size_;
  layout.cdb_size = cdb_size_;
  std::memset(bytes.data(), 0, bytes.size());
  if (offset >= sizeof(layout)) return;
  std::memcpy(bytes.data(), reinterpret_cast<const uint8_t*>(&layout) + offset,
              std::min<size_t>(bytes.size(), sizeof(layout) - offset));
}

void ScsiConfig::Write(uint32_t offset, std::span<const uint8_t> bytes) {
  if (bytes.size() != sizeof(uint32_t)) return;
  const auto size = LoadLe<uint32_t>(bytes.data());
  if (size > kMaxScsiFieldSize) return;
  if (offset == offsetof(Layout, sense_size)) sense_size_ = size;
  if (offset == offsetof(Layout, cdb_size)) cdb_size_ = size;
}

void ScsiConfig::Reset() {
  sense_size_ = ScsiSizes().sense;
  cdb_size_ = ScsiSizes().cdb;
}

}  // namespace berth::hw

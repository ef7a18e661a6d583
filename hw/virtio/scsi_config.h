// The configuration space of virtio-scsi: VIRTIO 1.2 section 5.6.4. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "hw/virtio/scsi_task.h"

namespace berth::hw {

class ScsiConfig {
 public:
  ScsiConfig(uint16_t request_queues, uint16_t queue_size, uint32_t units);

  // As VirtioDevice's.
  void Read(uint32_t offset, std::span<uint8_t> bytes) const;
  void Write(uint32_t offset, std::span<const uint8_t> bytes);
  // What the driver chose counts from the next activation on.
  ScsiSizes sizes() const { return {.cdb = cdb_size_, .sense = sense_size_}; }
  void Reset();

 private:
  struct [[gnu::packed]] Layout {
    uint32_t num_queues = 1;
    uint32_t seg_max = 0;
    uint32_t max_sectors = 0xffff;
    uint32_t cmd_per_lun = 0;
    uint32_t event_info_size = 16;
    uint32_t sense_size = 0;
    uint32_t cdb_size = 0;
    uint16_t max_channel = 0;
    uint16_t max_target = 0;
    uint32_t max_lun = 0;
  };

  Layout layout_;  // But for these two, which the driver may choose.
  std::atomic<uint32_t> sense_size_{ScsiSizes().sense}, cdb_size_{ScsiSizes().cdb};
};

}  // namespace berth::hw

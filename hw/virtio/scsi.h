// virtio-scsi: VIRTIO 1.2 section 5.6. One controller with one target, whose logical units are disks and
// CD-ROMs over any block nodes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "block/node.h"
#include "hw/virtio/device.h"

namespace berth::hw {

inline constexpr uint32_t kMaxScsiUnits = 64;
inline constexpr uint16_t kMaxScsiQueues = 16;

// The values of PERIPHERAL DEVICE TYPE (SPC-4, 6.4.2).
enum class ScsiUnitKind : uint8_t { kDisk = 0, kCdRom = 5 };

struct ScsiUnitOptions {
  ScsiUnitKind kind = ScsiUnitKind::kDisk;
  std::string name{};    // For messages, and for the guest where there is no serial.
  std::string serial{};  // At most 20 bytes.
  // Of disks; a CD-ROM has blocks of 2048 bytes and is only read.
  bool read_only = false;  // Also if the node is.
  bool discard = true;
  bool write_through = false;              // A write is complete when it is durable.
  uint32_t logical_block_size_bytes = 0;   // 0 for what the node says, as the next.
  uint32_t physical_block_size_bytes = 0;  // Powers of two from 512 on.
};

struct VirtioScsiOptions {
  std::string name{};   // For messages.
  uint16_t queues = 1;  // Of requests; up to kMaxScsiQueues.
};

class VirtioScsi : public VirtioDevice {
 public:
  struct Unit {
    ScsiUnitOptions options;
    std::shared_ptr<block::BlockNode> node;
  };

  // As VirtioBlock::Grow, of the unit with this LUN.
  virtual Status Grow(uint32_t lun, uint64_t size_bytes) = 0;
  // What one unit counts, as VirtioBlock counts it; as counters().
  virtual std::vector<NamedCounter> unit_counters(uint32_t lun) const = 0;
};

// Units have their index as LUN. The nodes live on the loop the device is activated on; the device is
// destroyed on that loop's thread, or when none runs it. INVALID_ARGUMENT for options that make no unit, and
// for none at all or more than kMaxScsiUnits.
Result<std::unique_ptr<VirtioScsi>> CreateVirtioScsi(const VirtioScsiOptions& options,
                                                     std::vector<VirtioScsi::Unit> units);

}  // namespace berth::hw

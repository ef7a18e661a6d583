// What a unit says of itself: INQUIRY and vital product data (SPC-4 6.4 and 7.8, SBC-3 6.5), capacity
// (SBC-3 5.16, MMC-6 6.25) and modes (SPC-4 7.5, SBC-3 6.4). Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "hw/virtio/scsi_cdb.h"
#include "hw/virtio/scsi_facts.h"

namespace berth::hw {

// INVALID FIELD IN CDB for a page that there is not.
ScsiResult<std::vector<uint8_t>> Inquiry(const ScsiFacts& facts, const ScsiCommand& command);
ScsiResult<std::vector<uint8_t>> ModeSense(const ScsiFacts& facts, const ScsiCommand& command);

std::vector<uint8_t> ReadCapacity10(const ScsiFacts& facts);
std::vector<uint8_t> ReadCapacity16(const ScsiFacts& facts);

}  // namespace berth::hw

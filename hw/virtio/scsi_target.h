// The target: which of its logical units a request is for, and what is answered where there is none. SAM-5
// section 4.7, SPC-4 sections 6.4 and 6.36. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "hw/virtio/scsi_task.h"

namespace berth::hw {

struct ScsiAddress {
  enum class Kind {
    kUnit,        // Whether or not there is such a unit.
    kReportLuns,  // The well known logical unit, which has no other commands.
    kNowhere,     // No target.
  };
  Kind kind = Kind::kNowhere;
  uint32_t lun = 0;
};

// VIRTIO 1.2, 5.6.6.1. There is target 0 alone.
ScsiAddress ParseLun(const ScsiLun& lun);

// The data of REPORT LUNS, whichever unit it is sent to, and of INQUIRY and REQUEST SENSE where no unit is;
// not more than is asked for. LOGICAL UNIT NOT SUPPORTED for all else. `units` is how many there are.
ScsiResult<std::vector<uint8_t>> AnswerAsTarget(const ScsiAddress& address, const ScsiCdb& cdb,
                                                uint32_t units);

}  // namespace berth::hw

// A CD-ROM drive's own commands: MMC-6, as far as Linux and installers use them. Pure but for the drive that
// they are of.
#pragma once

#include <cstdint>
#include <vector>

#include "hw/virtio/scsi_cdb.h"
#include "hw/virtio/scsi_facts.h"

namespace berth::hw {

// What the guest can do to a drive: open it, which takes the medium away, and close it, which brings it back.
struct CdRomDrive {
  enum class Event : uint8_t { kNone = 0, kNewMedium = 2, kMediumRemoved = 3 };

  bool open = false;
  bool locked = false;         // PREVENT ALLOW MEDIUM REMOVAL
  Event event = Event::kNone;  // That GET EVENT STATUS NOTIFICATION has yet to tell.

  // The LOEJ and START bits of START STOP UNIT. MEDIUM REMOVAL PREVENTED; true if there is a medium now that
  // was not there before.
  ScsiResult<bool> StartStop(const ScsiCommand& command);
};

ScsiResult<std::vector<uint8_t>> ReadToc(const ScsiFacts& facts, const ScsiCommand& command);
std::vector<uint8_t> GetConfiguration(const ScsiFacts& facts, const CdRomDrive& drive,
                                      const ScsiCommand& command);
ScsiResult<std::vector<uint8_t>> GetEventStatusNotification(CdRomDrive* drive, const ScsiCommand& command);
ScsiResult<std::vector<uint8_t>> ReadDiscInformation(const ScsiCommand& command);
std::vector<uint8_t> MechanismStatus(const CdRomDrive& drive);

}  // namespace berth::hw

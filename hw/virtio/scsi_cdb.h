// Command descriptor blocks: which commands there are, and where their fields lie. SPC-4, SBC-3 and MMC-6; a
// table. Pure.
//
// What is not in the table does not exist: reservations of every kind, MODE SELECT, and whatever writes to
// CD-ROMs are INVALID COMMAND OPERATION CODE.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "hw/virtio/scsi_sense.h"

namespace berth::hw {

inline constexpr size_t kMaxCdbBytes = 16;
using ScsiCdb = std::array<uint8_t, kMaxCdbBytes>;

// Who knows a command: bits.
enum ScsiCommandSet : uint8_t {
  kDiskCommands = 1,
  kThinDiskCommands = 2,  // Of disks that discard, besides.
  kCdRomCommands = 4,
  kTargetCommands = 8,  // Answered where no unit is.
};

enum class ScsiOperation : uint8_t {
  kGetConfiguration,
  kGetEventStatusNotification,
  kInquiry,
  kMechanismStatus,
  kModeSense6,
  kModeSense10,
  kPreventAllowMediumRemoval,
  kRead,
  kReadCapacity10,
  kReadCapacity16,
  kReadDiscInformation,
  kReadToc,
  kReportLuns,
  kReportSupportedOperationCodes,
  kRequestSense,
  kStartStopUnit,
  kSynchronizeCache,
  kTestUnitReady,
  kUnmap,
  kVerify,
  kWrite,
  kWriteSame,
};

struct ScsiCommand {
  ScsiOperation operation = ScsiOperation::kTestUnitReady;
  uint64_t block = 0;  // LOGICAL BLOCK ADDRESS
  uint32_t count = 0;  // TRANSFER LENGTH in blocks, or ALLOCATION or PARAMETER LIST LENGTH in bytes.
  bool fua = false;    // Force unit access.
  ScsiCdb cdb{};       // For what only one command has.
};

// INVALID COMMAND OPERATION CODE; INVALID FIELD IN CDB for a service action that there is not, and for what
// byte 1 and CONTROL ask for and nobody here does: protection information, comparing, anchoring, ACA.
ScsiResult<ScsiCommand> ParseCdb(uint8_t command_sets, const ScsiCdb& cdb);

// The data of REPORT SUPPORTED OPERATION CODES (SPC-4 6.33), without timeouts.
ScsiResult<std::vector<uint8_t>> ReportOperationCodes(uint8_t command_sets, const ScsiCommand& command);

}  // namespace berth::hw

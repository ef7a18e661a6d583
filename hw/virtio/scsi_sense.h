// Sense data: why a SCSI command failed. SPC-4 sections 4.5 and 4.5.6 (table of additional sense codes).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <tl/expected.hpp>

namespace berth::hw {

struct ScsiSense {
  uint8_t key = 0;
  uint8_t code = 0;       // ADDITIONAL SENSE CODE,
  uint8_t qualifier = 0;  // and its QUALIFIER.
  friend bool operator==(const ScsiSense&, const ScsiSense&) = default;
};

// What a command answers: its data, or why not.
template <typename T>
using ScsiResult = tl::expected<T, ScsiSense>;

inline constexpr uint8_t kNotReady = 2, kMediumError = 3, kHardwareError = 4, kIllegalRequest = 5,
                         kUnitAttention = 6, kDataProtect = 7;

namespace sense {

inline constexpr ScsiSense kNone{};
inline constexpr ScsiSense kTrayOpen{kNotReady, 0x3a, 0x02};
inline constexpr ScsiSense kUnrecoveredRead{kMediumError, 0x11, 0x00}, kWriteError{kMediumError, 0x0c, 0x00};
inline constexpr ScsiSense kInternalFailure{kHardwareError, 0x44, 0x00};
inline constexpr ScsiSense kParameterListLength{kIllegalRequest, 0x1a, 0x00},
    kInvalidOperationCode{kIllegalRequest, 0x20, 0x00}, kBlockOutOfRange{kIllegalRequest, 0x21, 0x00},
    kInvalidFieldInCdb{kIllegalRequest, 0x24, 0x00}, kNoSuchUnit{kIllegalRequest, 0x25, 0x00},
    kInvalidParameter{kIllegalRequest, 0x26, 0x00}, kNoSavedPages{kIllegalRequest, 0x39, 0x00},
    kRemovalPrevented{kIllegalRequest, 0x53, 0x02};
inline constexpr ScsiSense kMediumChanged{kUnitAttention, 0x28, 0x00}, kPowerOn{kUnitAttention, 0x29, 0x00},
    kResetByFunction{kUnitAttention, 0x29, 0x03}, kCapacityChanged{kUnitAttention, 0x2a, 0x09};
inline constexpr ScsiSense kWriteProtected{kDataProtect, 0x27, 0x00}, kNoSpace{kDataProtect, 0x27, 0x07};

}  // namespace sense

inline constexpr size_t kSenseBytes = 18;

// Fixed format (4.5.3): of the current command.
constexpr std::array<uint8_t, kSenseBytes> FixedSense(const ScsiSense& sense) {
  std::array<uint8_t, kSenseBytes> bytes{};
  bytes[0] = 0x70;
  bytes[2] = sense.key;
  bytes[7] = kSenseBytes - 8;  // What follows.
  bytes[12] = sense.code;
  bytes[13] = sense.qualifier;
  return bytes;
}

}  // namespace berth::hw

#include "cli/command.h"

#include <sys/random.h>

#include <array>

#include "proto/guest_name.h"
#include "proto/volume_name.h"

namespace berth::cli {

std::span<const Command* const> Commands() {
  static constexpr std::array kCommands = {
      &kHostShow,           &kHostDevices,      &kHostDevice,    &kHostWatch,       &kHostRecover,
      &kGuestCreate,        &kGuestList,        &kGuestShow,     &kGuestStart,      &kGuestStop,
      &kGuestReset,         &kGuestPowerButton, &kGuestAttach,   &kGuestDetach,     &kGuestSnapshot,
      &kGuestStream,        &kGuestCommit,      &kGuestMirror,   &kGuestDelete,     &kGuestConsole,
      &kGuestScreenshot,    &kGuestEvents,      &kGuestCounters, &kGuestTrace,      &kGuestUpdate,
      &kOperationList,      &kOperationShow,    &kOperationWait, &kOperationCancel, &kPlacementExplain,
      &kPlacementAdvise,    &kPoolList,         &kPoolShow,      &kVolumeCreate,    &kVolumeList,
      &kVolumeShow,         &kVolumeClone,      &kVolumeImport,  &kVolumeResize,    &kVolumeSnapshots,
      &kVolumeSnapshot,     &kVolumeApply,      &kVolumeForget,  &kVolumeBitmaps,   &kVolumeBitmap,
      &kVolumeForgetBitmap, &kVolumeDelete,     &kCompletion};
  return kCommands;
}

std::string GuestName(const std::string& argument) {
  return argument.starts_with(kGuestsCollection) ? argument : std::string(kGuestsCollection) + argument;
}

std::string GuestId(const std::string& argument) { return GuestIdOf(argument); }

std::string PoolName(const std::string& argument) {
  return argument.starts_with(kPoolsCollection) ? argument : std::string(kPoolsCollection) + argument;
}

std::string RandomUuid() {
  std::array<uint8_t, 16> bytes;
  CHECK(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;  // RFC 4122, 4.4: version 4,
  bytes[8] = (bytes[8] & 0x3f) | 0x80;  // variant 1.
  std::string uuid;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) uuid += '-';
    uuid += fmt::format("{:02x}", bytes[i]);
  }
  return uuid;
}

}  // namespace berth::cli

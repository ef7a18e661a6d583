#include "cli/command.h"

#include <array>

#include "proto/guest_name.h"

namespace berth::cli {

std::span<const Command* const> Commands() {
  static constexpr std::array kCommands = {
      &kHostShow,         &kHostDevices,      &kHostDevice,    &kHostWatch,     &kHostRecover,
      &kGuestCreate,      &kGuestList,        &kGuestShow,     &kGuestStart,    &kGuestStop,
      &kGuestReset,       &kGuestPowerButton, &kGuestAttach,   &kGuestDetach,   &kGuestDelete,
      &kGuestConsole,     &kGuestScreenshot,  &kGuestEvents,   &kGuestCounters, &kGuestTrace,
      &kGuestUpdate,      &kOperationList,    &kOperationShow, &kOperationWait, &kOperationCancel,
      &kPlacementExplain, &kPlacementAdvise,  &kCompletion};
  return kCommands;
}

std::string GuestName(const std::string& argument) {
  return argument.starts_with(kGuestsCollection) ? argument : std::string(kGuestsCollection) + argument;
}

std::string GuestId(const std::string& argument) { return GuestIdOf(argument); }

}  // namespace berth::cli

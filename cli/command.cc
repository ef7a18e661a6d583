#include "cli/command.h"

#include <array>

namespace berth::cli {

std::span<const Command* const> Commands() {
  static constexpr std::array kCommands = {
      &kHostShow,      &kHostDevices,   &kGuestCreate,      &kGuestList,       &kGuestShow,    &kGuestStart,
      &kGuestStop,     &kGuestReset,    &kGuestPowerButton, &kGuestDelete,     &kGuestConsole, &kGuestEvents,
      &kOperationList, &kOperationShow, &kOperationWait,    &kOperationCancel, &kCompletion};
  return kCommands;
}

std::string GuestName(const std::string& argument) {
  return argument.starts_with("guests/") ? argument : "guests/" + argument;
}

}  // namespace berth::cli

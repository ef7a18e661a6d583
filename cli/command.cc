#include "cli/command.h"

#include <array>

namespace berth::cli {
namespace {

constexpr std::string_view kGuests = "guests/";

}  // namespace

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
  return argument.starts_with(kGuests) ? argument : std::string(kGuests) + argument;
}

std::string GuestId(const std::string& argument) {
  return argument.starts_with(kGuests) ? argument.substr(kGuests.size()) : argument;
}

}  // namespace berth::cli

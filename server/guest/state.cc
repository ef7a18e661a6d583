#include "server/guest/state.h"

namespace berth::server {
namespace {

const char* NameOf(Verb verb) {
  switch (verb) {
    case Verb::kUpdateSpec:
      return "its spec changed";
    case Verb::kStart:
      return "started";
    case Verb::kStop:
      return "stopped";
    case Verb::kReset:
      return "reset";
    case Verb::kPowerButton:
      return "told to power off";
    case Verb::kConsole:
      return "watched";
    case Verb::kAttach:
      return "given a device";
    case Verb::kDetach:
      return "asked for a device";
    case Verb::kChangeDisk:
      return "given a disk that stands on something else";
    case Verb::kDelete:
    case Verb::kForceDelete:
      return "deleted";
  }
  return "changed";
}

bool NeedsMachine(Verb verb) {
  switch (verb) {
    case Verb::kStop:
    case Verb::kReset:
    case Verb::kPowerButton:
    case Verb::kConsole:
    case Verb::kAttach:
    case Verb::kDetach:
    case Verb::kChangeDisk:
      return true;
    default:
      return false;
  }
}

}  // namespace

bool IsActive(v1::Guest::State state) {
  return state == v1::Guest::STARTING || state == v1::Guest::RUNNING || state == v1::Guest::STOPPING;
}

Status CheckTransition(const v1::Guest& guest, Verb verb) {
  const bool running = guest.state() == v1::Guest::RUNNING;
  if (verb == Verb::kForceDelete) return Ok();
  if (NeedsMachine(verb) ? running : !IsActive(guest.state())) return Ok();
  return Fail(
      Error(Code::kFailedPrecondition, fmt::format("{} is {} and cannot be {}", guest.name(),
                                                   v1::Guest::State_Name(guest.state()), NameOf(verb)))
          .Reason(NeedsMachine(verb) ? "GUEST_NOT_RUNNING" : "GUEST_RUNNING")
          .With("resource", guest.name())
          .With("state", v1::Guest::State_Name(guest.state())));
}

}  // namespace berth::server

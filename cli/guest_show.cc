#include "cli/command.h"
#include "cli/guest_view.h"

namespace berth::cli {
namespace {

Status Run(const Invocation& call) {
  berth::v1::GetGuestRequest request;
  request.set_name(GuestName(call.arguments[0]));
  PrintGuest(call.out, call.format, TRY(call.connection.Call(&GuestService::Stub::GetGuest, request)));
  return Ok();
}

}  // namespace

const Command kGuestShow = {.words = "guest show",
                            .arguments = {"GUEST"},
                            .required = 1,
                            .summary = "Show a guest, its devices and interfaces",
                            .run = Run};

}  // namespace berth::cli

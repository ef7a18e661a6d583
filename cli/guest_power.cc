// What a guest's power switch and buttons do.
#include "cli/command.h"
#include "cli/guest_view.h"
#include "cli/operation_wait.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;

void DescribeStart(po::options_description& options) {
  options.add_options()("dry-run", "only check whether it could be started");
  DescribeWait(options);
}

Status RunStart(const Invocation& call) {
  berth::v1::StartGuestRequest request;
  request.set_name(GuestName(call.arguments[0]));
  request.set_validate_only(call.Has("dry-run"));
  return FinishOperation(call, call.connection.Call(&GuestService::Stub::StartGuest, request));
}

void DescribeStop(po::options_description& options) {
  options.add_options()                             //
      ("force", "at once, as if the power failed")  //
      ("grace-period", po::value<int>(), "seconds the guest may take to power off before it is forced to");
  DescribeWait(options);
}

Status RunStop(const Invocation& call) {
  berth::v1::StopGuestRequest request;
  request.set_name(GuestName(call.arguments[0]));
  request.set_force(call.Has("force"));
  if (call.Has("grace-period")) request.set_grace_period_seconds(call.options["grace-period"].as<int>());
  return FinishOperation(call, call.connection.Call(&GuestService::Stub::StopGuest, request));
}

Status RunReset(const Invocation& call) {
  berth::v1::ResetGuestRequest request;
  request.set_name(GuestName(call.arguments[0]));
  PrintGuests(call.out, call.format, {TRY(call.connection.Call(&GuestService::Stub::ResetGuest, request))});
  return Ok();
}

Status RunPowerButton(const Invocation& call) {
  berth::v1::PowerButtonGuestRequest request;
  request.set_name(GuestName(call.arguments[0]));
  PrintGuests(call.out, call.format,
              {TRY(call.connection.Call(&GuestService::Stub::PowerButtonGuest, request))});
  return Ok();
}

}  // namespace

const Command kGuestStart = {.words = "guest start",
                             .arguments = {"GUEST"},
                             .required = 1,
                             .summary = "Start a guest",
                             .describe = DescribeStart,
                             .run = RunStart};
const Command kGuestStop = {.words = "guest stop",
                            .arguments = {"GUEST"},
                            .required = 1,
                            .summary = "Ask a guest to power off, and make it if it does not",
                            .describe = DescribeStop,
                            .run = RunStop};
const Command kGuestReset = {.words = "guest reset",
                             .arguments = {"GUEST"},
                             .required = 1,
                             .summary = "Press a guest's reset button",
                             .run = RunReset};
const Command kGuestPowerButton = {.words = "guest power-button",
                                   .arguments = {"GUEST"},
                                   .required = 1,
                                   .summary = "Press a guest's power button",
                                   .run = RunPowerButton};

}  // namespace berth::cli

// What a guest's monitor counts, and what it tells about itself.
#include <ostream>

#include "cli/command.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;

Status RunCounters(const Invocation& call) {
  berth::v1::ReadCountersRequest request;
  request.set_name(GuestName(call.arguments[0]));
  const auto response = TRY(call.connection.Call(&GuestService::Stub::ReadCounters, request));
  if (call.format != OutputFormat::kTable) {
    PrintMessage(call.out, call.format, response);
    return Ok();
  }
  Table table({"COUNTER", "VALUE"});
  for (const auto& counter : response.counters())
    table.Add({counter.name(), std::to_string(counter.value())});
  table.Print(call.out);
  return Ok();
}

void DescribeTrace(po::options_description& options) { options.add_options()("off", "disable them"); }

Status RunTrace(const Invocation& call) {
  berth::v1::TraceGuestRequest request;
  request.set_name(GuestName(call.arguments[0]));
  request.set_pattern(call.arguments[1]);
  request.set_disable(call.Has("off"));
  const auto response = TRY(call.connection.Call(&GuestService::Stub::TraceGuest, request));
  call.out << fmt::format("{} events {}\n", response.matched(), request.disable() ? "disabled" : "enabled");
  return Ok();
}

}  // namespace

const Command kGuestCounters = {.words = "guest counters",
                                .arguments = {"GUEST"},
                                .required = 1,
                                .summary = "Show what a running guest's monitor has counted",
                                .run = RunCounters};
const Command kGuestTrace = {.words = "guest trace",
                             .arguments = {"GUEST", "PATTERN"},
                             .required = 2,
                             .summary = "Enable trace events of a guest's monitor, as 'hw/virtio/*'",
                             .describe = DescribeTrace,
                             .run = RunTrace};

}  // namespace berth::cli

#include "cli/command.h"
#include "cli/guest_view.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;

void DescribeOptions(po::options_description& options) {
  options.add_options()("filter", po::value<std::string>(), "AIP-160, as 'state = RUNNING'");
}

Status Run(const Invocation& call) {
  std::vector<berth::v1::Guest> guests;
  berth::v1::ListGuestsRequest request;
  request.set_filter(call.Text("filter"));
  TRY(call.connection.EachPage(&GuestService::Stub::ListGuests, request, [&](const auto& page) {
    guests.insert(guests.end(), page.guests().begin(), page.guests().end());
  }));
  if (call.format == OutputFormat::kJson || call.format == OutputFormat::kYaml) {
    // Always a list, however many there are.
    berth::v1::ListGuestsResponse list;
    for (const berth::v1::Guest& guest : guests) *list.add_guests() = guest;
    PrintMessage(call.out, call.format, list);
    return Ok();
  }
  PrintGuests(call.out, call.format, guests);
  return Ok();
}

}  // namespace

const Command kGuestList = {
    .words = "guest list", .summary = "List the guests of the host", .describe = DescribeOptions, .run = Run};

}  // namespace berth::cli

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
  do {
    const auto page = TRY(call.connection.Call(&GuestService::Stub::ListGuests, request));
    guests.insert(guests.end(), page.guests().begin(), page.guests().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
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

#include <ostream>

#include <google/protobuf/util/time_util.h>

#include "cli/follow.h"
#include "proto/error_details.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;
using berth::v1::Event;

constexpr size_t kMaxTextBytes = 500;

void DescribeOptions(po::options_description& options) {
  options.add_options()("resume", po::value<std::string>(), "from after the event with this token");
  DescribeFollow(options);
}

void Print(const Invocation& call, const Event& event) {
  if (call.format == OutputFormat::kName) {
    call.out << event.guest() << '\n';
    return;
  }
  call.out << fmt::format("{}  {}  {}  {}{}{}\n", google::protobuf::util::TimeUtil::ToString(event.time()),
                          Event::Kind_Name(event.kind()), event.guest(),
                          berth::v1::Guest::State_Name(event.state()),
                          event.device().empty() ? "" : "  " + event.device(),
                          event.text().empty() ? "" : "  " + Printable(event.text(), kMaxTextBytes));
}

Status Run(const Invocation& call) {
  berth::v1::WatchEventsRequest request;
  if (!call.arguments.empty()) request.set_guest(GuestName(call.arguments[0]));
  request.set_resume_token(call.Text("resume"));
  return Follow(call, &EventService::Stub::WatchEvents, request,
                [&](const Event& event) { Print(call, event); });
}

}  // namespace

const Command kGuestEvents = {.words = "guest events",
                              .arguments = {"GUEST"},
                              .required = 0,
                              .summary = "Follow what happens to a guest, or to all",
                              .describe = DescribeOptions,
                              .run = Run};

}  // namespace berth::cli

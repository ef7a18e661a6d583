#include <ostream>

#include <google/protobuf/util/time_util.h>

#include "cli/command.h"
#include "proto/error_details.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;
using berth::v1::Event;

constexpr size_t kMaxTextBytes = 500;

void DescribeOptions(po::options_description& options) {
  options.add_options()                                                             //
      ("resume", po::value<std::string>(), "from after the event with this token")  //
      ("count", po::value<int>(), "end after so many events");
}

void Print(std::ostream& out, OutputFormat format, const Event& event) {
  if (format == OutputFormat::kName) {
    out << event.guest() << '\n';
  } else if (format != OutputFormat::kTable) {
    if (format == OutputFormat::kYaml) out << "---\n";
    PrintMessage(out, format, event);
  } else {
    out << fmt::format("{}  {}  {}  {}{}{}\n", google::protobuf::util::TimeUtil::ToString(event.time()),
                       Event::Kind_Name(event.kind()), event.guest(),
                       berth::v1::Guest::State_Name(event.state()),
                       event.device().empty() ? "" : "  " + event.device(),
                       event.text().empty() ? "" : "  " + Printable(event.text(), kMaxTextBytes));
  }
  out.flush();
}

Status Run(const Invocation& call) {
  berth::v1::WatchEventsRequest request;
  if (!call.arguments.empty()) request.set_guest(GuestName(call.arguments[0]));
  request.set_resume_token(call.Text("resume"));
  int left = call.Has("count") ? call.options["count"].as<int>() : -1;
  grpc::ClientContext context;
  const auto events = call.connection.stub<EventService::Stub>().WatchEvents(&context, request);
  Event event;
  while (left != 0 && events->Read(&event)) {
    Print(call.out, call.format, event);
    if (left > 0) --left;
  }
  if (left == 0) context.TryCancel();
  const grpc::Status status = events->Finish();
  if (left == 0 || status.ok()) return Ok();
  return Fail(call.connection.ToError(status));
}

}  // namespace

const Command kGuestEvents = {.words = "guest events",
                              .arguments = {"GUEST"},
                              .required = 0,
                              .summary = "Follow what happens to a guest, or to all",
                              .describe = DescribeOptions,
                              .run = Run};

}  // namespace berth::cli

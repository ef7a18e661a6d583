#include "cli/command.h"
#include "cli/guest_view.h"
#include "cli/spec_file.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;

void DescribeOptions(po::options_description& options) {
  options.add_options()  //
      ("file,f", po::value<std::string>()->required(),
       "the guest's spec as it is to be, JSON or YAML; - for the standard input")  //
      ("dry-run", "only check whether it could be changed");
}

Status Run(const Invocation& call) {
  berth::v1::UpdateGuestRequest request;
  *request.mutable_guest() = TRY(ReadSpecFile(call.Text("file")));
  request.mutable_guest()->set_name(GuestName(call.arguments[0]));
  request.set_validate_only(call.Has("dry-run"));
  PrintGuests(call.out, call.format, {TRY(call.connection.Call(&GuestService::Stub::UpdateGuest, request))});
  return Ok();
}

}  // namespace

const Command kGuestUpdate = {
    .words = "guest update",
    .arguments = {"GUEST"},
    .required = 1,
    .summary = "Change a guest's spec; while it runs, its disks' sizes and I/O limits",
    .describe = DescribeOptions,
    .run = Run};

}  // namespace berth::cli

#include "cli/command.h"
#include "cli/operation_wait.h"
#include "cli/spec_file.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;

void DescribeOptions(po::options_description& options) {
  options.add_options()  //
      ("file,f", po::value<std::string>()->required(),
       "the guest's spec, JSON or YAML; - for the standard input")                               //
      ("start,s", "start it as well")                                                            //
      ("ttl", po::value<int>(), "delete it in so many seconds unless it is started until then")  //
      ("dry-run", "only check whether it could be created");
  DescribeWait(options);
}

Status Run(const Invocation& call) {
  berth::v1::CreateGuestRequest request;
  *request.mutable_guest() = TRY(ReadSpecFile(call.Text("file")));
  const std::string id = GuestId(call.arguments.empty() ? request.guest().name() : call.arguments[0]);
  if (id.empty()) return Fail(Code::kInvalidArgument, "the guest needs a name: berth guest create NAME");
  request.mutable_guest()->clear_name();
  request.set_guest_id(id);
  request.set_request_id(RandomUuid());
  request.set_start(call.Has("start"));
  if (call.Has("ttl")) request.mutable_guest()->mutable_ttl()->set_seconds(call.options["ttl"].as<int>());
  request.set_validate_only(call.Has("dry-run"));
  return FinishOperation(call, call.connection.Call(&GuestService::Stub::CreateGuest, request));
}

}  // namespace

const Command kGuestCreate = {.words = "guest create",
                              .arguments = {"NAME"},
                              .required = 0,
                              .summary = "Create a guest from a spec",
                              .describe = DescribeOptions,
                              .run = Run};

}  // namespace berth::cli

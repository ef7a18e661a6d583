#include "cli/command.h"
#include "cli/operation_wait.h"

namespace berth::cli {
namespace {

void DescribeOptions(boost::program_options::options_description& options) {
  options.add_options()                                    //
      ("force", "also if it runs: it is stopped at once")  //
      ("ignore-missing", "succeed if there is no such guest");
  DescribeWait(options);
}

Status Run(const Invocation& call) {
  berth::v1::DeleteGuestRequest request;
  request.set_name(GuestName(call.arguments[0]));
  request.set_force(call.Has("force"));
  request.set_allow_missing(call.Has("ignore-missing"));
  return FinishOperation(call, call.connection.Call(&GuestService::Stub::DeleteGuest, request));
}

}  // namespace

const Command kGuestDelete = {.words = "guest delete",
                              .arguments = {"GUEST"},
                              .required = 1,
                              .summary = "Delete a guest and give back what it claimed",
                              .describe = DescribeOptions,
                              .run = Run};

}  // namespace berth::cli

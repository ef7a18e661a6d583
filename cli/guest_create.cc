#include <sys/random.h>
#include <unistd.h>

#include <array>

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

// For request_id: a connection that breaks does not make a second guest.
std::string RandomUuid() {
  std::array<uint8_t, 16> bytes;
  CHECK(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;  // RFC 4122, 4.4: version 4,
  bytes[8] = (bytes[8] & 0x3f) | 0x80;  // variant 1.
  std::string uuid;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) uuid += '-';
    uuid += fmt::format("{:02x}", bytes[i]);
  }
  return uuid;
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

// What a guest's display shows, as a file.
#include <fstream>
#include <ostream>

#include "cli/command.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;

void DescribeOptions(po::options_description& options) {
  options.add_options()("device", po::value<std::string>(),
                        "which assigned device; else the first with a display");
}

Status Run(const Invocation& call) {
  berth::v1::CaptureScreenshotRequest request;
  request.set_name(GuestName(call.arguments[0]));
  request.set_device_id(call.Text("device"));
  const auto picture = TRY(call.connection.Call(&GuestService::Stub::CaptureScreenshot, request));
  const std::string& path = call.arguments[1];
  if (path == "-") {
    call.out << picture.png() << std::flush;
    return Ok();
  }
  std::ofstream file(path, std::ios::binary);
  if (!(file << picture.png() << std::flush)) return FailErrno(errno, "write {}", path);
  call.err << fmt::format("{}: {}x{} pixels\n", path, picture.width(), picture.height());
  return Ok();
}

}  // namespace

const Command kGuestScreenshot = {.words = "guest screenshot",
                                  .arguments = {"GUEST", "FILE"},
                                  .required = 2,
                                  .summary = "Write what a guest's display shows to a PNG file",
                                  .describe = DescribeOptions,
                                  .run = Run};

}  // namespace berth::cli

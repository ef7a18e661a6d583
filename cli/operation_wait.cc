#include "cli/operation_wait.h"

#include <unistd.h>

#include <ostream>

#include "berth/v1/guest.pb.h"
#include "berth/v1/operation_metadata.pb.h"
#include "cli/guest_view.h"
#include "cli/volume_view.h"
#include "proto/error_details.h"

namespace berth::cli {
namespace {

using google::longrunning::Operation;
using google::longrunning::WaitOperationRequest;

// Shorter than any call's deadline, and short enough to show progress.
constexpr int kWaitSeconds = 1;
constexpr size_t kMaxNoteBytes = 1024;

// One line that is written over; nothing where nobody looks.
class ProgressLine {
 public:
  explicit ProgressLine(std::ostream& out) : out_(out), shown_(::isatty(STDERR_FILENO) == 1) {}
  ~ProgressLine() { Show(""); }
  void Show(const std::string& text) {
    if (shown_) out_ << "\r\x1b[K" << Printable(text, kMaxBytes) << std::flush;
  }

 private:
  static constexpr size_t kMaxBytes = 120;
  std::ostream& out_;
  const bool shown_;
};

}  // namespace

void DescribeWait(boost::program_options::options_description& options) {
  options.add_options()("wait,w", "wait until it is done");
}

std::string Describe(const Operation& operation) {
  berth::v1::OperationMetadata metadata;
  operation.metadata().UnpackTo(&metadata);
  std::string text = fmt::format("{} {}", metadata.verb(), metadata.target());
  if (operation.has_error()) return text + ": failed: " + operation.error().message();
  if (operation.done()) return text + (metadata.quiesced() ? ": done, quiesced" : ": done");
  if (!metadata.step().empty()) text += ": " + metadata.step();
  if (metadata.steps_total() > 0)
    text += fmt::format(" ({}/{})", metadata.steps_done(), metadata.steps_total());
  if (metadata.bytes_total() > 0)
    text +=
        fmt::format(" ({} of {})", FormatBytes(metadata.bytes_done()), FormatBytes(metadata.bytes_total()));
  return text;
}

Status AwaitOperation(const Invocation& call, Operation operation) {
  {
    ProgressLine progress(call.err);
    while (!operation.done()) {
      progress.Show(Describe(operation));
      WaitOperationRequest request;
      request.set_name(operation.name());
      request.mutable_timeout()->set_seconds(kWaitSeconds);
      operation = TRY(call.connection.Call(&Operations::Stub::WaitOperation, request));
    }
  }
  if (operation.has_error()) return Fail(FromRpcStatus(operation.error()));
  berth::v1::OperationMetadata metadata;
  if (operation.metadata().UnpackTo(&metadata) && !metadata.not_quiesced().empty())
    call.err << "not quiesced: " << Printable(metadata.not_quiesced(), kMaxNoteBytes) << '\n';
  berth::v1::Guest guest;
  if (operation.response().UnpackTo(&guest)) {
    PrintGuests(call.out, call.format, {guest});
  } else if (berth::v1::Volume volume; operation.response().UnpackTo(&volume)) {
    PrintVolumes(call.out, call.format, {volume});
    PrintMessage(call.out, call.format, volume);
  } else if (call.format == OutputFormat::kTable) {
    call.out << Describe(operation) << '\n';
  } else {
    PrintMessage(call.out, call.format, operation);
  }
  return Ok();
}

Status FinishOperation(const Invocation& call, const Result<Operation>& operation) {
  if (!operation) return Fail(operation.error());
  if (call.Has("wait")) return AwaitOperation(call, *operation);
  if (call.format == OutputFormat::kTable) {
    call.out << fmt::format("{}: {}\n", operation->name(), Describe(*operation));
  } else if (call.format == OutputFormat::kName) {
    call.out << operation->name() << '\n';
  }
  PrintMessage(call.out, call.format, *operation);
  return Ok();
}

}  // namespace berth::cli

// Streams: what a daemon tells until somebody has heard enough.
#pragma once

#include <memory>
#include <ostream>

#include "cli/command.h"

namespace berth::cli {

// `--count`.
void DescribeFollow(boost::program_options::options_description& options);

// Prints every message of a stream, as JSON or YAML or as `print` does, until the stream ends or --count of
// them were printed.
template <typename Stub, typename Request, typename Message, typename Print>
Status Follow(const Invocation& call,
              std::unique_ptr<grpc::ClientReader<Message>> (Stub::*method)(grpc::ClientContext*,
                                                                           const Request&),
              const Request& request, Print print) {
  int left = call.Has("count") ? call.options["count"].as<int>() : -1;
  grpc::ClientContext context;
  const auto stream = (call.connection.stub<Stub>().*method)(&context, request);
  Message message;
  while (left != 0 && stream->Read(&message)) {
    if (call.format == OutputFormat::kYaml) call.out << "---\n";
    if (call.format == OutputFormat::kTable || call.format == OutputFormat::kName) print(message);
    PrintMessage(call.out, call.format, message);
    call.out.flush();
    if (left > 0) --left;
  }
  if (left == 0) context.TryCancel();
  const grpc::Status status = stream->Finish();
  if (left == 0 || status.ok()) return Ok();
  return Fail(call.connection.ToError(status));
}

}  // namespace berth::cli

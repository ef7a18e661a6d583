#include <algorithm>
#include <cstring>
#include <vector>

#include "block/driver.h"
#include "block/open.h"
#include "block/options.h"
#include "img/tool.h"

namespace berth::img {
namespace {

constexpr uint64_t kMaxBlockBytes = INT32_MAX;
constexpr uint64_t kDdStepBytes = 2 << 20;

struct DdRequest {
  Source input;
  std::string output, format = "raw";
  block::OpenFlags flags;
  uint64_t block_bytes = 512;
  std::optional<uint64_t> count, skip;
};

std::optional<uint64_t> ParseOperand(std::string_view text, std::string_view what, uint64_t least,
                                     uint64_t most) {
  const auto size = block::ParseSize(text);
  if (size && *size >= least && *size <= most) return *size;
  if (size || size.error().code() == Code::kOutOfRange) {
    Complain("Invalid {} specified. Must be between {} and {}.", what, least, most);
  } else {
    Complain("Invalid {} specified. You may use k, M, G, T, P or E suffixes for", what);
    Complain("kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.");
  }
  return std::nullopt;
}

bool TakeOperand(std::string_view operand, DdRequest* request) {
  const size_t equals = operand.find('=');
  const std::string_view name = operand.substr(0, equals);
  const std::string_view value = equals == operand.npos ? "" : operand.substr(equals + 1);
  if (equals == operand.npos ||
      (name != "bs" && name != "count" && name != "skip" && name != "if" && name != "of")) {
    Complain("unrecognized operand {}", name);
    return false;
  }
  if (name == "if") request->input.name = value;
  if (name == "of") request->output = value;
  if (name == "bs") {
    const auto bytes = ParseOperand(value, "bs", 1, kMaxBlockBytes);
    if (!bytes) return false;
    request->block_bytes = *bytes;
  }
  if (name == "count") return (request->count = ParseOperand(value, "count", 0, INT64_MAX)).has_value();
  if (name == "skip") return (request->skip = ParseOperand(value, "skip", 0, INT64_MAX)).has_value();
  return true;
}

bool ParseDd(int argc, char** argv, DdRequest* request) {
  Arguments arguments(argc, argv, "f:O:U",
                      {{"object", required_argument, nullptr, kOptionObject},
                       {"image-opts", no_argument, nullptr, kOptionImageOpts},
                       {"force-share", no_argument, nullptr, 'U'}});
  for (int option = arguments.Next(); option != -1; option = arguments.Next()) {
    if (option == 'f') request->input.format = ::optarg;
    if (option == 'O') request->format = ::optarg;
    if (option == 'U') request->flags.force_share = true;
    if (option == kOptionImageOpts) request->input.is_options = true;
  }
  for (const char* operand : arguments.Rest()) {
    if (!TakeOperand(operand, request)) return false;
  }
  if (request->input.name.empty() || request->output.empty()) {
    Complain("Must specify both input and output files");
    return false;
  }
  return true;
}

uint64_t Product(uint64_t a, uint64_t b) { return a > INT64_MAX / b ? INT64_MAX : a * b; }

bool CopyBlocks(block::Image* from, uint64_t offset, uint64_t end, block::Image* to) {
  std::vector<uint8_t> buffer(std::min(kDdStepBytes, std::max<uint64_t>(end - offset, 1)));
  for (uint64_t at = 0; offset < end;) {
    const std::span<uint8_t> part(buffer.data(), std::min<uint64_t>(buffer.size(), end - offset));
    if (const int error = block::Read(from, offset, part); error != 0) {
      Complain("error while reading from input image file: {}", std::strerror(error));
      return false;
    }
    if (const int error = block::Write(to, at, part); error != 0) {
      Complain("error while writing to output image file: {}", std::strerror(error));
      return false;
    }
    offset += part.size();
    at += part.size();
  }
  if (const int error = block::Flush(to); error != 0) {
    Complain("error while writing to output image file: {}", std::strerror(error));
    return false;
  }
  return true;
}

}  // namespace

int Dd(int argc, char** argv) {
  DdRequest request;
  if (!ParseDd(argc, argv, &request)) return 1;
  const auto input = OpenSource(request.input, request.flags);
  if (input == nullptr) return 1;
  const block::Format* format = block::FindFormat(request.format);
  const block::Protocol* protocol = block::ProtocolOf(request.output);
  if (format == nullptr) {
    Complain("Unknown file format");
    return 1;
  }
  if (format->create == nullptr || protocol == nullptr || protocol->create == nullptr) {
    Complain("Format driver '{}' does not support image creation", request.format);
    return 1;
  }
  // The count bounds what of the input there is, and what is skipped is a part of that.
  uint64_t size = input->size_bytes();
  if (request.count) size = std::min(size, Product(*request.count, request.block_bytes));
  const uint64_t start = request.skip ? Product(*request.skip, request.block_bytes) : 0;
  const bool beyond = request.skip && start > size;
  block::CreateOptions options(MergedOptions(*format, protocol));
  (void)options.Set("size", std::to_string(beyond ? 0 : size - start));
  if (const Status created = format->create(request.output, options); !created) {
    Complain("{}: error while creating output image: {}", request.output, created.error().message());
    return 1;
  }
  const auto output = OpenSource({.name = request.output, .format = request.format}, {.writable = true});
  if (output == nullptr) return 1;
  if (beyond) {
    Complain("{}: cannot skip to specified offset", request.input.name);
    return 0;
  }
  return CopyBlocks(input.get(), start, size, output.get()) ? 0 : 1;
}

}  // namespace berth::img

// The protocols null-co and null-aio: a disk that keeps nothing, for measuring everything else.
#include <chrono>
#include <thread>

#include "base/pieces.h"
#include "block/driver.h"

namespace berth::block {
namespace {

constexpr uint64_t kDefaultBytes = 1 << 30;

struct NullOptions {
  uint64_t size_bytes = kDefaultBytes;
  uint64_t latency_ns = 0;  // Of every request.
  bool read_zeroes = false;
  bool read_only = false;
};

class NullImage final : public Image {
 public:
  explicit NullImage(const NullOptions& options) : options_(options) {
    limits_.read_only = options.read_only;
  }

  uint64_t size_bytes() const override { return options_.size_bytes; }
  const Limits& limits() const override { return limits_; }
  std::optional<uint64_t> AllocatedBytes() const override { return 0; }

  int Perform(const Request& request) override {
    if (const int error = CheckRequest(request, size_bytes(), limits_.read_only); error != 0) return error;
    if (options_.latency_ns != 0) std::this_thread::sleep_for(std::chrono::nanoseconds(options_.latency_ns));
    if (request.op == Op::kRead && options_.read_zeroes) ZeroPieces(request.pieces, 0);
    return 0;
  }

  Result<Extent> Map(uint64_t offset, uint64_t length) override {
    return Extent{.offset = offset,
                  .length = length,
                  .allocated = true,
                  .zero = options_.read_zeroes,
                  .data = !options_.read_zeroes,
                  .stored_at = offset};
  }

 private:
  const NullOptions options_;
  Limits limits_;
};

Result<std::unique_ptr<Image>> OpenNamed(std::string_view name, Options* options, const OpenFlags& flags) {
  NullOptions null{.read_only = !flags.writable};
  const auto filename = Take(options, "filename");
  if (filename && *filename != fmt::format("{}://", name)) {
    return Fail(Code::kInvalidArgument, "The only allowed filename for this driver is '{}://'", name);
  }
  if (const auto size = Take(options, "size")) null.size_bytes = TRY(ParseSize(*size));
  if (const auto value = Take(options, "read-zeroes"))
    null.read_zeroes = TRY(ParseBool("read-zeroes", *value));
  if (const auto latency = Take(options, "latency-ns")) {
    const auto number = ParseNumber(*latency);
    if (!number || *number > INT64_MAX) return Fail(Code::kInvalidArgument, "latency-ns is invalid");
    null.latency_ns = *number;
  }
  auto image = std::make_unique<NullImage>(null);
  image->SetIdentity(std::string(name), fmt::format("{}://", name));
  return image;
}

Result<std::unique_ptr<Image>> OpenNullCo(Options* options, const OpenFlags& flags) {
  return OpenNamed("null-co", options, flags);
}
Result<std::unique_ptr<Image>> OpenNullAio(Options* options, const OpenFlags& flags) {
  return OpenNamed("null-aio", options, flags);
}

}  // namespace

const Protocol kNullCoProtocol{.name = "null-co", .prefix = "null-co:", .open = OpenNullCo};
const Protocol kNullAioProtocol{.name = "null-aio", .prefix = "null-aio:", .open = OpenNullAio};

}  // namespace berth::block

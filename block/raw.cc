#include "block/raw.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/bytes.h"
#include "base/pieces.h"
#include "block/chain.h"
#include "block/driver.h"
#include "block/open.h"

namespace berth::block {
namespace {

// As much of a raw image as is kept from looking like another format.
constexpr uint64_t kGuardedBytes = 512;
constexpr uint64_t kSectorBytes = 512;

class RawImage final : public FormatImage {
 public:
  RawImage(std::unique_ptr<Image> file, const RawOptions& options)
      : FormatImage(std::move(file)), options_(options), limits_(this->file()->limits()) {
    limits_.read_only |= options.read_only;
  }

  uint64_t size_bytes() const override {
    // Disks are whole sectors: what the file lacks of its last one reads as zeroes.
    return options_.size_bytes.value_or(AlignUp(file()->size_bytes() - options_.offset_bytes, kSectorBytes));
  }
  const Limits& limits() const override { return limits_; }

  int Perform(const Request& request) override {
    // A file beneath a format grows by being written to.
    const bool grows = options_.beneath && !options_.size_bytes;
    const uint64_t end = grows ? UINT64_MAX - options_.offset_bytes : size_bytes();
    if (const int error = CheckRequest(request, end, limits_.read_only); error != 0) return error;
    if (request.op == Op::kWrite && options_.guard_head && request.offset < kGuardedBytes &&
        Disguises(request)) {
      return EPERM;
    }
    Request moved = request;
    moved.offset += options_.offset_bytes;
    return file()->Perform(moved);
  }

  Result<Extent> Map(uint64_t offset, uint64_t length) override {
    const uint64_t start = offset + options_.offset_bytes, end = file()->size_bytes();
    if (start >= end) return Extent{.offset = offset, .length = length, .allocated = true, .zero = true};
    Extent extent = TRY(MapThrough(file(), start, std::min(length, end - start)));
    extent.offset = offset;
    extent.ask_file = false;
    return extent;
  }

  Location Locate(Op op, uint64_t offset, uint64_t length) override {
    if (op != Op::kRead && (limits_.read_only || options_.guard_head)) return {};
    const uint64_t start = offset + options_.offset_bytes;
    if (!Range{0, file()->size_bytes()}.Contains(start, length)) return {};
    if (dynamic_cast<const FormatImage*>(file()) != nullptr)
      return {};  // Which would have to be asked in turn.
    return {.kind = Location::Kind::kStored, .file = file(), .offset = start};
  }

  Status Resize(uint64_t size_bytes, Preallocation preallocation) override {
    if (options_.size_bytes) return Fail(Code::kUnimplemented, "Cannot resize fixed-size raw disks");
    if (size_bytes > INT64_MAX - options_.offset_bytes)
      return Fail(Code::kOutOfRange, "Disk size too large for the chosen offset");
    return file()->Resize(size_bytes + options_.offset_bytes, preallocation);
  }
  std::optional<uint64_t> AllocatedBytes() const override { return file()->AllocatedBytes(); }

 private:
  bool Disguises(const Request& request) const {
    std::array<uint8_t, kGuardedBytes> head{};
    const uint64_t size = std::min<uint64_t>(head.size(), size_bytes());
    if (Read(file(), options_.offset_bytes, {head.data(), size}) != 0) return true;
    CopyFromPieces(request.pieces, 0,
                   {head.data() + request.offset, std::min(request.length, head.size() - request.offset)});
    return Probe(head, filename()) != &kRawFormat;
  }

  const RawOptions options_;
  Limits limits_;
};

Result<std::unique_ptr<FormatImage>> OpenRaw(OpenContext* context) {
  RawOptions raw{
      .read_only = !context->flags.writable, .guard_head = context->probed, .beneath = context->beneath};
  if (const auto offset = Take(&context->options, "offset")) raw.offset_bytes = TRY(ParseSize(*offset));
  if (const auto size = Take(&context->options, "size")) raw.size_bytes = TRY(ParseSize(*size));
  return CreateRawImage(std::move(context->file), raw);
}

Status CreateRaw(const std::string& filename, const CreateOptions& options) {
  const Protocol* protocol = ProtocolOf(filename);
  if (protocol == nullptr || protocol->create == nullptr) {
    return Fail(Code::kUnimplemented, "Protocol driver '{}' does not support image creation", filename);
  }
  return protocol->create(filename, options);
}

Result<Measurement> MeasureRaw(const CreateOptions& options, Image* source) {
  const uint64_t size = source != nullptr ? source->size_bytes() : options.Number("size");
  return Measurement{size, size};
}

constexpr CreateOption kCreateOptions[] = {{"size", CreateOption::Type::kSize, "Virtual disk size"}};

}  // namespace

Result<std::unique_ptr<FormatImage>> CreateRawImage(std::unique_ptr<Image> file, const RawOptions& options) {
  const uint64_t all = file->size_bytes();
  if (options.offset_bytes > all) {
    return Fail(Code::kOutOfRange, "Offset ({}) cannot be greater than size of the containing file ({})",
                options.offset_bytes, all);
  }
  if (options.size_bytes && !Range{0, all}.Contains(options.offset_bytes, *options.size_bytes)) {
    return Fail(Code::kOutOfRange,
                "The sum of offset ({}) and size ({}) has to be smaller or equal to the  actual size of the "
                "containing file ({})",
                options.offset_bytes, *options.size_bytes, all);
  }
  return std::make_unique<RawImage>(std::move(file), options);
}

const Format kRawFormat{.name = "raw",
                        .probe = [](std::span<const uint8_t>, std::string_view) { return 1; },
                        .open = OpenRaw,
                        .create_options = kCreateOptions,
                        .create = CreateRaw,
                        .measure = MeasureRaw};

}  // namespace berth::block

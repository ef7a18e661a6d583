// The filter compress: what is written is stored compressed where that makes it smaller.
#include <algorithm>
#include <mutex>
#include <vector>

#include "base/pieces.h"
#include "block/filter/filter_image.h"

namespace berth::block {
namespace {

class CompressImage final : public FilterImage {
 public:
  explicit CompressImage(OpenContext* context)
      : FilterImage(context),
        format_(dynamic_cast<FormatImage*>(file())),
        cluster_(format_->Info().cluster_size_bytes.value_or(1 << 16)) {
    limits_.block_size_bytes = static_cast<uint32_t>(cluster_);
  }

  int Perform(const Request& request) override {
    if (const int error = Refusal(request); error != 0) return error;
    if (request.op != Op::kWrite) return file()->Perform(request);
    for (uint64_t done = 0; done < request.length;) {
      const uint64_t offset = request.offset + done;
      const uint64_t step = std::min(request.length - done, cluster_ - offset % cluster_);
      if (const int error = WriteIn(offset, step, request.pieces, done); error != 0) return error;
      done += step;
    }
    return request.fua ? Flush(file()) : 0;
  }

 private:
  // A part of one cluster, or all of it: the bytes from `done` on in `pieces`.
  int WriteIn(uint64_t offset, uint64_t length, std::span<const iovec> pieces, uint64_t done) {
    const uint64_t start = offset / cluster_ * cluster_;
    const uint64_t there = std::min(cluster_, size_bytes() - start);
    std::vector<uint8_t> whole(cluster_), packed(cluster_);
    std::unique_lock part(parts_, std::defer_lock);
    if (length != there) {
      part.lock();
      if (const int error = Read(file(), start, {whole.data(), there}); error != 0) return error;
    }
    CopyFromPieces(pieces, done, std::span(whole).subspan(offset - start, length));
    const size_t size = format_->Pack(whole, packed);
    if (size == 0) return Write(file(), start, {whole.data(), there});
    return format_->WritePacked(start, {packed.data(), size});
  }

  FormatImage* const format_;
  const uint64_t cluster_;
  std::mutex parts_;  // Whoever writes a part of a cluster is alone among those.
};

Result<std::unique_ptr<FormatImage>> Open(OpenContext* context) {
  const Format* format = FindFormat(context->file->driver());
  if (format == nullptr || !format->compresses) {
    return Fail(Code::kUnimplemented, "Compression is not supported for underlying format: {}",
                context->file->driver());
  }
  return std::make_unique<CompressImage>(context);
}

}  // namespace

const Format kCompressFormat{.name = "compress", .open = Open};

}  // namespace berth::block

// The filter copy-on-read: what is read from the images beneath its image is written to that.
#include <algorithm>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "block/filter/filter_image.h"

namespace berth::block {
namespace {

constexpr uint64_t kMaxCopyBytes = 1 << 20;

class CopyOnReadImage final : public FilterImage {
 public:
  using FilterImage::FilterImage;

  int Perform(const Request& request) override {
    if (const int error = Refusal(request); error != 0) return error;
    if (request.op == Op::kRead) {
      if (const int error = CopyUp(request.offset, request.length); error != 0) return error;
      return file()->Perform(request);
    }
    // What is being copied must not replace what is written meanwhile.
    const std::shared_lock changing(copying_);
    return file()->Perform(request);
  }

 private:
  bool IsBeneath(uint64_t offset, uint64_t length, uint64_t* run) {
    const auto extent = file()->Map(offset, length);
    *run = extent ? extent->length : length;
    return extent && !extent->allocated;
  }

  int CopyUp(uint64_t offset, uint64_t length) {
    const uint64_t cluster = Info().cluster_size_bytes.value_or(1);
    for (uint64_t at = offset; at < offset + length;) {
      uint64_t run = 0;
      if (!IsBeneath(at, offset + length - at, &run)) {
        at += run;
        continue;
      }
      const uint64_t start = at / cluster * cluster;
      const uint64_t end =
          std::min(size_bytes(), (at + std::min(run, kMaxCopyBytes) + cluster - 1) / cluster * cluster);
      const std::unique_lock copying(copying_);
      // Somebody may have been faster, or have written a part of it.
      for (uint64_t copied = start; copied < end;) {
        uint64_t length_now = 0;
        if (IsBeneath(copied, end - copied, &length_now)) {
          std::vector<uint8_t> bytes(length_now);
          if (const int error = Read(file(), copied, bytes); error != 0) return error;
          const bool zero = std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
          const int error =
              zero ? WriteZeroes(file(), copied, length_now, true) : Write(file(), copied, bytes);
          if (error != 0) return error;
        }
        copied += length_now;
      }
      at = end;
    }
    return 0;
  }

  std::shared_mutex copying_;
};

Result<std::unique_ptr<FormatImage>> Open(OpenContext* context) {
  if (!context->flags.writable) return Fail(Code::kFailedPrecondition, "Block node is read-only");
  return std::make_unique<CopyOnReadImage>(context);
}

}  // namespace

const Format kCopyOnReadFormat{.name = "copy-on-read", .open = Open};

}  // namespace berth::block

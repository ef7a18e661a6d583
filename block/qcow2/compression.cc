#include "block/qcow2/compression.h"

#include <zlib.h>
#include <zstd.h>

#include <memory>

#include "base/error.h"
#include "block/inflater.h"

namespace berth::block::qcow2 {
namespace {

// Readers inflate with a window of 4 KiB; negative: without zlib's header.
constexpr int kWindowBits = -12;
constexpr int kMemoryLevel = 9;

class Deflater {
 public:
  Deflater() {
    CHECK(::deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kWindowBits, kMemoryLevel,
                         Z_DEFAULT_STRATEGY) == Z_OK);
  }
  ~Deflater() { ::deflateEnd(&stream_); }
  size_t Run(std::span<const uint8_t> in, std::span<uint8_t> out) {
    ::deflateReset(&stream_);
    stream_.next_in = const_cast<Bytef*>(in.data());
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = out.data();
    stream_.avail_out = static_cast<uInt>(out.size());
    if (::deflate(&stream_, Z_FINISH) != Z_STREAM_END) return 0;
    return out.size() - stream_.avail_out;
  }

 private:
  z_stream stream_{};
};

template <auto Function>
struct Caller {
  template <typename T>
  void operator()(T* pointer) const {
    Function(pointer);
  }
};

size_t CompressZstd(std::span<const uint8_t> in, std::span<uint8_t> out) {
  thread_local const std::unique_ptr<ZSTD_CCtx, Caller<ZSTD_freeCCtx>> context(::ZSTD_createCCtx());
  const size_t size = ::ZSTD_compress2(context.get(), out.data(), out.size(), in.data(), in.size());
  return ::ZSTD_isError(size) ? 0 : size;
}

// The frame's length is not stored: it ends somewhere in `in`, which streaming finds out.
bool DecompressZstd(std::span<const uint8_t> in, std::span<uint8_t> out) {
  thread_local const std::unique_ptr<ZSTD_DCtx, Caller<ZSTD_freeDCtx>> context(::ZSTD_createDCtx());
  ::ZSTD_DCtx_reset(context.get(), ZSTD_reset_session_only);
  ZSTD_inBuffer input{in.data(), in.size(), 0};
  ZSTD_outBuffer output{out.data(), out.size(), 0};
  while (output.pos < output.size) {
    const size_t before = output.pos, read_before = input.pos;
    const size_t result = ::ZSTD_decompressStream(context.get(), &output, &input);
    if (::ZSTD_isError(result)) return false;
    if (output.pos == before && input.pos == read_before) return false;  // It wants more than there is.
  }
  return true;
}

}  // namespace

size_t Compress(Compression method, std::span<const uint8_t> in, std::span<uint8_t> out) {
  if (method == Compression::kZstd) return CompressZstd(in, out);
  thread_local Deflater deflater;
  return deflater.Run(in, out);
}

bool Decompress(Compression method, std::span<const uint8_t> in, std::span<uint8_t> out) {
  if (method == Compression::kZstd) return DecompressZstd(in, out);
  thread_local Inflater inflater(kWindowBits);
  return inflater.Run(in, out);
}

}  // namespace berth::block::qcow2

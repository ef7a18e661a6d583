// Decompresses deflate streams of a known size, one after the other, with one state (RFC 1950, RFC 1951).
#pragma once

#include <zlib.h>

#include <cstdint>
#include <span>

#include "base/error.h"

namespace berth::block {

// One thread at a time.
class Inflater {
 public:
  // As zlib's inflateInit2: negative for streams without a header and a checksum.
  explicit Inflater(int window_bits) { CHECK(::inflateInit2(&stream_, window_bits) == Z_OK); }
  Inflater(const Inflater&) = delete;
  ~Inflater() { ::inflateEnd(&stream_); }

  // Whether `in` holds as many bytes as fill `out`; what follows them is not looked at.
  bool Run(std::span<const uint8_t> in, std::span<uint8_t> out) {
    ::inflateReset(&stream_);
    stream_.next_in = const_cast<Bytef*>(in.data());
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = out.data();
    stream_.avail_out = static_cast<uInt>(out.size());
    const int result = ::inflate(&stream_, Z_FINISH);
    // Z_BUF_ERROR: the output is full and the end of the stream was not read yet.
    return (result == Z_STREAM_END || result == Z_BUF_ERROR) && stream_.avail_out == 0;
  }

 private:
  z_stream stream_{};
};

}  // namespace berth::block

// Image: the blocking twin of BlockNode. What formats, filters and protocols implement, and what tools use.
//
// Everything that has to read, allocate or repair metadata is written as ordinary blocking code against this
// interface, called by as many threads as there is work for. docs/block.md has the whole picture.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "block/node.h"

namespace berth::block {

class Image;

// A run of an image's bytes that are all of one kind.
struct Extent {
  uint64_t offset = 0;  // In the image.
  uint64_t length = 0;  // Never 0.
  // Whether this image determines the content; otherwise its backing image does, or, without one, it is zero.
  bool allocated = false;
  bool zero = false;        // Reads as zeroes.
  bool data = false;        // Has bytes stored for it.
  bool compressed = false;  // Those are not the content itself.
  // The stored bytes may themselves be a hole of the file: whoever wants to know asks the file.
  bool ask_file = false;
  // Where the content is stored, as it is, in the image's data file (FormatImage::data_file).
  std::optional<uint64_t> stored_at{};
  Image* stored_in = nullptr;  // In place of the data file, for images in several files.
};

// How much of what is created is given room.
enum class Preallocation : uint8_t { kOff, kMetadata, kFalloc, kFull };
std::string_view PreallocationName(Preallocation preallocation);  // "off", "metadata", …
std::optional<Preallocation> ParsePreallocation(std::string_view name);

// Threads: any, at once; an image locks what it must. Two operations on overlapping ranges at the same time
// happen in some order, block by block.
class Image {
 public:
  // Nobody uses it any more. What was not flushed is written back as far as possible; Flush first to know.
  virtual ~Image() = default;

  virtual uint64_t size_bytes() const = 0;
  virtual const Limits& limits() const = 0;

  // Carries out `request`, whose `done`, `next` and `error` mean nothing here; 0, or an errno value. Any
  // range and any buffers; EINVAL outside the image (files grow by writing), EROFS for a change to a
  // read-only one.
  virtual int Perform(const Request& request) = 0;

  // What the byte at `offset` belongs to: an extent that starts there and is at most `length` long (both
  // inside the image, `length` not 0). It may be shorter than the run is. For images that cannot tell
  // everything is data.
  virtual Result<Extent> Map(uint64_t offset, uint64_t length);

  // Grows (new bytes read as zeroes) or shrinks. UNIMPLEMENTED where the format cannot.
  virtual Status Resize(uint64_t size_bytes, Preallocation preallocation);

  // Bytes that the image occupies on its host; nothing if that is not known.
  virtual std::optional<uint64_t> AllocatedBytes() const { return std::nullopt; }

  // How it was opened: for messages and for tools. Set once, by what opened it.
  const std::string& driver() const { return driver_; }
  const std::string& filename() const { return filename_; }
  void SetIdentity(std::string driver, std::string filename) {
    driver_ = std::move(driver);
    filename_ = std::move(filename);
  }

 private:
  std::string driver_;
  std::string filename_;
};

// Perform with one buffer or none; 0, or an errno value.
int Read(Image* image, uint64_t offset, std::span<uint8_t> out);
int Write(Image* image, uint64_t offset, std::span<const uint8_t> bytes);
int WriteZeroes(Image* image, uint64_t offset, uint64_t length, bool may_unmap);
int Discard(Image* image, uint64_t offset, uint64_t length);
int Flush(Image* image);

// What such a number says; `what` was being done.
inline Status ToStatus(int error, std::string_view what) {
  return error == 0 ? Ok() : FailErrno(error, "{}", what);
}

}  // namespace berth::block

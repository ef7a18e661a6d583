#include "block/image.h"

namespace berth::block {
namespace {

int PerformOne(Image* image, Op op, uint64_t offset, void* bytes, uint64_t length, bool may_unmap = false) {
  const iovec piece{bytes, length};
  Request request{.op = op, .may_unmap = may_unmap, .offset = offset, .length = length};
  if (bytes != nullptr) request.pieces = {&piece, 1};
  return image->Perform(request);
}

}  // namespace

std::string_view PreallocationName(Preallocation preallocation) {
  switch (preallocation) {
    case Preallocation::kOff:
      return "off";
    case Preallocation::kMetadata:
      return "metadata";
    case Preallocation::kFalloc:
      return "falloc";
    case Preallocation::kFull:
      return "full";
  }
  return "off";
}

std::optional<Preallocation> ParsePreallocation(std::string_view name) {
  for (const auto known :
       {Preallocation::kOff, Preallocation::kMetadata, Preallocation::kFalloc, Preallocation::kFull}) {
    if (name == PreallocationName(known)) return known;
  }
  return std::nullopt;
}

Result<Extent> Image::Map(uint64_t offset, uint64_t length) {
  return Extent{.offset = offset, .length = length, .allocated = true, .data = true};
}

Status Image::Resize(uint64_t, Preallocation) {
  return Fail(Code::kUnimplemented, "Image format driver does not support resize");
}

int Read(Image* image, uint64_t offset, std::span<uint8_t> out) {
  return PerformOne(image, Op::kRead, offset, out.data(), out.size());
}

int Write(Image* image, uint64_t offset, std::span<const uint8_t> bytes) {
  return PerformOne(image, Op::kWrite, offset, const_cast<uint8_t*>(bytes.data()), bytes.size());
}

int WriteZeroes(Image* image, uint64_t offset, uint64_t length, bool may_unmap) {
  return PerformOne(image, Op::kWriteZeroes, offset, nullptr, length, may_unmap);
}

int Discard(Image* image, uint64_t offset, uint64_t length) {
  return PerformOne(image, Op::kDiscard, offset, nullptr, length);
}

int Flush(Image* image) { return PerformOne(image, Op::kFlush, 0, nullptr, 0); }

}  // namespace berth::block

#include "block/format_image.h"

#include <algorithm>
#include <cerrno>

#include <nlohmann/json.hpp>

#include "base/pieces.h"

namespace berth::block {

FormatImage::~FormatImage() = default;

nlohmann::ordered_json FormatImage::SpecificInfo() const { return nullptr; }

Result<CheckReport> FormatImage::Check(const Repair&) {
  return Fail(Code::kUnimplemented, "This image format does not support checks");
}

size_t FormatImage::Pack(std::span<const uint8_t>, std::span<uint8_t>) const { return 0; }

int FormatImage::WritePacked(uint64_t, std::span<const uint8_t>) { return ENOTSUP; }

int FormatImage::Populate(uint64_t, uint64_t) { return ENOTSUP; }

Status FormatImage::WriteBack() { return ToStatus(Flush(this), "write what is in memory"); }

Status FormatImage::MakeEmpty() {
  return Fail(Code::kUnimplemented, "the format {} cannot empty an image", driver());
}

Status FormatImage::ChangeBacking(const std::optional<BackingReference>&) {
  return Fail(Code::kUnimplemented, "the format {} has no backing images", driver());
}

int ReadBacking(const FormatImage& image, uint64_t offset, uint64_t length, std::span<const iovec> pieces) {
  Image* const backing = image.backing();
  const uint64_t end = backing == nullptr ? 0 : backing->size_bytes();
  const uint64_t from_backing = offset >= end ? 0 : std::min(length, end - offset);
  if (from_backing == length) {
    return backing->Perform({.op = Op::kRead, .offset = offset, .length = length, .pieces = pieces});
  }
  ZeroPieces(pieces, from_backing);
  if (from_backing == 0) return 0;
  for (uint64_t done = 0; done < from_backing;) {
    std::vector<iovec> part;
    SlicePieces(pieces, done, from_backing - done, &part);
    uint64_t size = 0;
    for (const iovec& piece : part) size += piece.iov_len;
    const int error =
        backing->Perform({.op = Op::kRead, .offset = offset + done, .length = size, .pieces = part});
    if (error != 0) return error;
    done += size;
  }
  return 0;
}

}  // namespace berth::block

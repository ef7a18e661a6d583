#include "base/pieces.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"

namespace berth {
namespace {

// Calls `use(address, size)` for the runs of [offset, offset + length).
template <typename Use>
void ForEachRun(std::span<const iovec> pieces, uint64_t offset, uint64_t length, Use use) {
  for (const iovec& piece : pieces) {
    if (length == 0) return;
    if (offset >= piece.iov_len) {
      offset -= piece.iov_len;
      continue;
    }
    const uint64_t size = std::min<uint64_t>(piece.iov_len - offset, length);
    if (!use(static_cast<uint8_t*>(piece.iov_base) + offset, size)) return;
    offset = 0;
    length -= size;
  }
}

}  // namespace

bool PiecesAligned(std::span<const iovec> pieces, uint64_t address_alignment, uint64_t length_alignment) {
  uint64_t addresses = 0, lengths = 0;
  for (const iovec& piece : pieces) {
    addresses |= reinterpret_cast<uintptr_t>(piece.iov_base);
    lengths |= piece.iov_len;
  }
  return IsAligned(addresses, address_alignment) && IsAligned(lengths, length_alignment);
}

void SlicePieces(std::span<const iovec> pieces, uint64_t offset, uint64_t length, std::vector<iovec>* out) {
  out->clear();
  ForEachRun(pieces, offset, length, [out](uint8_t* address, uint64_t size) {
    out->push_back({address, size});
    return out->size() < kMaxPieces;
  });
}

void CopyToPieces(std::span<const iovec> pieces, uint64_t offset, std::span<const uint8_t> from) {
  const uint8_t* next = from.data();
  ForEachRun(pieces, offset, from.size(), [&next](uint8_t* address, uint64_t size) {
    std::memcpy(address, next, size);
    next += size;
    return true;
  });
}

void CopyFromPieces(std::span<const iovec> pieces, uint64_t offset, std::span<uint8_t> to) {
  uint8_t* next = to.data();
  ForEachRun(pieces, offset, to.size(), [&next](const uint8_t* address, uint64_t size) {
    std::memcpy(next, address, size);
    next += size;
    return true;
  });
}

void ZeroPieces(std::span<const iovec> pieces, uint64_t offset) {
  ForEachRun(pieces, offset, ~uint64_t{0}, [](uint8_t* address, uint64_t size) {
    std::memset(address, 0, size);
    return true;
  });
}

}  // namespace berth

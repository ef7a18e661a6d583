// Arithmetic on scattered buffers (iovec arrays). Pure; `offset` counts bytes from the first piece's start.
#pragma once

#include <limits.h>
#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <vector>

namespace berth {

// IOV_MAX of Linux (UIO_MAXIOV): the most pieces one system call takes.
inline constexpr size_t kMaxPieces = 1024;

// Whether every piece starts at a multiple of `address_alignment` and is a multiple of `length_alignment`
// long.
bool PiecesAligned(std::span<const iovec> pieces, uint64_t address_alignment, uint64_t length_alignment);

// Sets `out` to the pieces from `offset` on, `length` bytes at most and kMaxPieces at most.
void SlicePieces(std::span<const iovec> pieces, uint64_t offset, uint64_t length, std::vector<iovec>* out);

// Copies from the buffer into the pieces, or the other way; both stop where the pieces end.
void CopyToPieces(std::span<const iovec> pieces, uint64_t offset, std::span<const uint8_t> from);
void CopyFromPieces(std::span<const iovec> pieces, uint64_t offset, std::span<uint8_t> to);

// Zeroes everything from `offset` on.
void ZeroPieces(std::span<const iovec> pieces, uint64_t offset);

}  // namespace berth

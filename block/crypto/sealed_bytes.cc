#include "block/crypto/sealed_bytes.h"

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "base/bytes.h"
#include "base/pieces.h"

namespace berth::block {
namespace {

constexpr uint64_t kMaxStepBytes = 1 << 20;

std::vector<uint8_t>& Buffer(uint64_t bytes) {
  thread_local std::vector<uint8_t> buffer;
  buffer.resize(bytes);
  return buffer;
}

// As much of [at, at + length) as one step takes, with the sectors' rest around it.
struct SectorStep {
  SectorStep(uint64_t at, uint64_t wanted)
      : head(at % kCipherSectorBytes),
        length(std::min(wanted, kMaxStepBytes - head)),
        whole(AlignUp(head + length, kCipherSectorBytes)) {}
  uint64_t head, length, whole;
  bool has_parts() const { return head != 0 || whole != length; }
};

}  // namespace

int SealedBytes::ReadSectors(Image* file, uint64_t at, uint64_t tweak, std::span<uint8_t> out) const {
  // The file may end within the last one.
  const uint64_t end = file->size_bytes();
  const uint64_t there = std::min<uint64_t>(out.size(), at >= end ? 0 : end - at);
  std::fill(out.begin() + static_cast<ptrdiff_t>(there), out.end(), 0);
  if (const int error = block::Read(file, at, out.first(there)); error != 0) return error;
  return cipher_->Decrypt(tweak / kCipherSectorBytes, out) ? 0 : EIO;
}

int SealedBytes::Read(Image* file, uint64_t at, uint64_t tweak, uint64_t length,
                      std::span<const iovec> pieces) const {
  for (uint64_t done = 0; done < length;) {
    const SectorStep step(at + done, length - done);
    std::vector<uint8_t>& buffer = Buffer(step.whole);
    const int error = ReadSectors(file, at + done - step.head, tweak + done - step.head, buffer);
    if (error != 0) return error;
    CopyToPieces(pieces, done, std::span(buffer).subspan(step.head, step.length));
    done += step.length;
  }
  return 0;
}

int SealedBytes::Write(Image* file, uint64_t at, uint64_t tweak, uint64_t length,
                       std::span<const iovec> pieces, bool fua) const {
  for (uint64_t done = 0; done < length;) {
    const SectorStep step(at + done, length - done);
    std::shared_lock shared(parts_, std::defer_lock);
    std::unique_lock alone(parts_, std::defer_lock);
    step.has_parts() ? alone.lock() : shared.lock();
    const uint64_t from = at + done - step.head, first = (tweak + done - step.head) / kCipherSectorBytes;
    std::vector<uint8_t>& buffer = Buffer(step.whole);
    if (step.has_parts()) {
      const int error = ReadSectors(file, from, tweak + done - step.head, buffer);
      if (error != 0) return error;
    }
    CopyFromPieces(pieces, done, std::span(buffer).subspan(step.head, step.length));
    if (!cipher_->Encrypt(first, buffer)) return EIO;
    const iovec piece{buffer.data(), buffer.size()};
    const int error = file->Perform(
        {.op = Op::kWrite, .fua = fua, .offset = from, .length = buffer.size(), .pieces = {&piece, 1}});
    if (error != 0) return error;
    done += step.length;
  }
  return 0;
}

}  // namespace berth::block

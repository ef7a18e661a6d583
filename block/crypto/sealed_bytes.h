// Content that is stored encrypted: reading and writing of any range, where the cipher knows whole sectors.
#pragma once

#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <span>
#include <vector>

#include "block/crypto/disk_cipher.h"
#include "block/image.h"

namespace berth::block {

// Any thread.
class SealedBytes {
 public:
  explicit SealedBytes(std::unique_ptr<DiskCipher> cipher) : cipher_(std::move(cipher)) {}

  // `length` bytes that begin at `at` in `file`; `tweak` is where the cipher's count of sectors has them:
  // both are as far into a sector. 0, or an errno value.
  int Read(Image* file, uint64_t at, uint64_t tweak, uint64_t length, std::span<const iovec> pieces) const;
  int Write(Image* file, uint64_t at, uint64_t tweak, uint64_t length, std::span<const iovec> pieces,
            bool fua) const;

 private:
  int ReadSectors(Image* file, uint64_t at, uint64_t tweak, std::span<uint8_t> out) const;

  const std::unique_ptr<DiskCipher> cipher_;
  // Who writes a part of a sector is alone from reading it until it is written.
  mutable std::shared_mutex parts_;
};

}  // namespace berth::block

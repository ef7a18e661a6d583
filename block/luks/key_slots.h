// Key slots of LUKS1: the master key, split so that losing any part of it loses all, encrypted with a key
// that is made of a password.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "block/luks/header.h"

namespace berth::block::luks {

using Password = std::span<const uint8_t>;

// The specification's AFsplit and AFmerge: `split` has kStripes times the key's bytes.
Status SplitKey(std::string_view hash, std::span<const uint8_t> key, std::span<uint8_t> split);
Status MergeKey(std::string_view hash, std::span<const uint8_t> split, std::span<uint8_t> key);

// As many iterations as the derivation of such a key may have to take `milliseconds` of a processor, in
// [kMinIterations, kMaxNewIterations].
Result<uint32_t> CountIterations(std::string_view hash, size_t key_bytes, uint64_t milliseconds);

// The header is at `at` in `file`.
struct Volume {
  Image* file = nullptr;
  uint64_t at = 0;
  Header header;
};

// The master key by the password of any slot; PERMISSION_DENIED if it is no slot's.
Result<SecretBytes> Unlock(const Volume& volume, Password password);
// By that of one active slot; nothing if it is another's.
Result<std::optional<SecretBytes>> UnlockSlot(const Volume& volume, size_t slot, Password password);

// Key material first, then the header, which makes the slot active.
Status StoreKey(Volume* volume, size_t slot, std::span<const uint8_t> master_key, Password password,
                uint64_t milliseconds);
// Key material is written over, then the header says that there is none.
Status EraseSlot(Volume* volume, size_t slot);

void FillRandom(std::span<uint8_t> out);

}  // namespace berth::block::luks

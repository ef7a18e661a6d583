#include "block/luks/key_slots.h"

#include <sys/random.h>
#include <time.h>

#include <algorithm>
#include <cerrno>

#include "base/bytes.h"

namespace berth::block::luks {
namespace {

// The specification's H1: each part of the size of a digest is hashed with its number before it.
Status Diffuse(std::string_view hash, std::span<uint8_t> block) {
  const CryptoLibrary* library = TRY(TheCryptoLibrary());
  const size_t digest_bytes = TRY(library->DigestBytes(hash));
  SecretBytes digest(digest_bytes);
  for (uint32_t part = 0; !block.empty(); ++part) {
    const auto now = block.first(std::min(digest_bytes, block.size()));
    SecretBytes numbered(4 + now.size());
    StoreBe(numbered.data(), part);
    std::copy(now.begin(), now.end(), numbered.begin() + 4);
    TRY(library->Digest(hash, numbered, digest));
    std::copy_n(digest.begin(), now.size(), now.begin());
    block = block.subspan(now.size());
  }
  return Ok();
}

void Xor(std::span<uint8_t> into, std::span<const uint8_t> other) {
  for (size_t i = 0; i < into.size(); ++i) into[i] ^= other[i];
}

Result<SecretBytes> DerivedKey(const Header& header, const KeySlot& slot, Password password) {
  SecretBytes key(header.key_bytes);
  TRY(TRY(TheCryptoLibrary())->DeriveKey(header.hash, password, slot.salt, slot.iterations, key));
  return key;
}

Status CheckedDigest(const Header& header, std::span<const uint8_t> master_key, std::span<uint8_t> digest) {
  return TRY(TheCryptoLibrary())
      ->DeriveKey(header.hash, master_key, header.digest_salt, header.digest_iterations, digest);
}

uint64_t ThreadTimeNs() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

Status SplitKey(std::string_view hash, std::span<const uint8_t> key, std::span<uint8_t> split) {
  SecretBytes mixed(key.size());
  FillRandom(split.first(key.size() * (kStripes - 1)));
  for (size_t stripe = 0; stripe < kStripes - 1; ++stripe) {
    Xor(mixed, split.subspan(stripe * key.size(), key.size()));
    TRY(Diffuse(hash, mixed));
  }
  Xor(mixed, key);
  std::copy(mixed.begin(), mixed.end(), split.begin() + static_cast<ptrdiff_t>(key.size() * (kStripes - 1)));
  return Ok();
}

Status MergeKey(std::string_view hash, std::span<const uint8_t> split, std::span<uint8_t> key) {
  std::fill(key.begin(), key.end(), 0);
  for (size_t stripe = 0; stripe < kStripes; ++stripe) {
    Xor(key, split.subspan(stripe * key.size(), key.size()));
    if (stripe + 1 < kStripes) TRY(Diffuse(hash, key));
  }
  return Ok();
}

Result<uint32_t> CountIterations(std::string_view hash, size_t key_bytes, uint64_t milliseconds) {
  constexpr uint64_t kLongEnoughNs = 20'000'000;
  constexpr uint32_t kMostMeasured = 1 << 26;
  const CryptoLibrary* library = TRY(TheCryptoLibrary());
  const std::array<uint8_t, kSaltBytes> salt{};
  const std::array<uint8_t, 8> password{};
  SecretBytes key(key_bytes);
  uint32_t iterations = 1 << 12;
  uint64_t taken = 0;
  for (;; iterations *= 2) {
    const uint64_t start = ThreadTimeNs();
    TRY(library->DeriveKey(hash, password, salt, iterations, key));
    taken = std::max<uint64_t>(ThreadTimeNs() - start, 1);
    if (taken >= kLongEnoughNs || iterations >= kMostMeasured) break;
  }
  const double wanted =
      static_cast<double>(iterations) * static_cast<double>(milliseconds) * 1e6 / static_cast<double>(taken);
  return static_cast<uint32_t>(std::clamp<double>(wanted, kMinIterations, kMaxNewIterations));
}

Result<std::optional<SecretBytes>> UnlockSlot(const Volume& volume, size_t slot, Password password) {
  const Header& header = volume.header;
  const KeySlot& from = header.slots[slot];
  SecretBytes material(header.material_bytes());
  const uint64_t at = volume.at + from.material_sector * kSectorBytes, end = volume.file->size_bytes();
  if (at >= end || end - at < material.size())
    return Fail(Code::kInvalidArgument, "Keyslot {} is behind the image's end", slot);
  TRY(ToStatus(Read(volume.file, at, material), "Failed to read key material"));
  const SecretBytes derived = TRY(DerivedKey(header, from, password));
  if (!TRY(DiskCipher::Create(header.cipher, derived))->Decrypt(0, material))
    return Fail(Code::kInternal, "Unable to decrypt keyslot {}", slot);
  SecretBytes key(header.key_bytes);
  TRY(MergeKey(header.hash, std::span(material).first(key.size() * kStripes), key));
  std::array<uint8_t, kDigestBytes> digest{};
  TRY(CheckedDigest(header, key, digest));
  if (digest != header.digest) return std::optional<SecretBytes>();
  return std::optional(std::move(key));
}

Result<SecretBytes> Unlock(const Volume& volume, Password password) {
  for (size_t slot = 0; slot < kKeySlots; ++slot) {
    if (!volume.header.slots[slot].active) continue;
    if (auto key = TRY(UnlockSlot(volume, slot, password))) return *std::move(key);
  }
  return Fail(Code::kPermissionDenied, "Invalid password, cannot unlock any keyslot");
}

Status StoreKey(Volume* volume, size_t slot, std::span<const uint8_t> master_key, Password password,
                uint64_t milliseconds) {
  Header changed = volume->header;
  KeySlot& to = changed.slots[slot];
  FillRandom(to.salt);
  to.iterations = TRY(CountIterations(changed.hash, changed.key_bytes, milliseconds));
  const SecretBytes derived = TRY(DerivedKey(changed, to, password));
  SecretBytes material(changed.material_bytes());
  TRY(SplitKey(changed.hash, master_key, std::span(material).first(master_key.size() * kStripes)));
  if (!TRY(DiskCipher::Create(changed.cipher, derived))->Encrypt(0, material))
    return Fail(Code::kInternal, "Unable to encrypt keyslot {}", slot);
  int error = Write(volume->file, volume->at + to.material_sector * kSectorBytes, material);
  if (error == 0) error = Flush(volume->file);
  TRY(ToStatus(error, "Unable to write key material"));
  to.active = true;
  TRY(WriteHeader(volume->file, volume->at, changed));
  volume->header = changed;
  return Ok();
}

Status EraseSlot(Volume* volume, size_t slot) {
  Header changed = volume->header;
  KeySlot& gone = changed.slots[slot];
  SecretBytes noise(changed.material_bytes());
  FillRandom(noise);
  int error = Write(volume->file, volume->at + gone.material_sector * kSectorBytes, noise);
  if (error == 0) error = Flush(volume->file);
  TRY(ToStatus(error, "Unable to erase key material"));
  gone = {.material_sector = gone.material_sector};
  TRY(WriteHeader(volume->file, volume->at, changed));
  volume->header = changed;
  return Ok();
}

void FillRandom(std::span<uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = ::getrandom(out.data(), out.size(), 0);
    CHECK(got > 0 || errno == EINTR);
    if (got > 0) out = out.subspan(static_cast<size_t>(got));
  }
}

}  // namespace berth::block::luks

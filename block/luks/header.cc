#include "block/luks/header.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"

namespace berth::block::luks {
namespace {

constexpr std::string_view kMagic("LUKS\xba\xbe", 6);
constexpr uint16_t kVersion = 1;
constexpr uint32_t kActive = 0x00ac71f3, kInactive = 0x0000dead;
constexpr size_t kNameBytes = 32, kUuidBytes = 40;
constexpr size_t kSlotsOffset = 208, kSlotBytes = 48;

using Raw = std::array<uint8_t, kHeaderBytes>;

Result<std::string> Text(const Raw& raw, size_t at, size_t size, std::string_view what) {
  const char* text = reinterpret_cast<const char*>(&raw[at]);
  const size_t length = ::strnlen(text, size);
  if (length == size) return Fail(Code::kInvalidArgument, "LUKS header {} is not NUL terminated", what);
  return std::string(text, length);
}

void StoreText(Raw* raw, size_t at, const std::string& text) {
  std::copy(text.begin(), text.end(), raw->begin() + static_cast<ptrdiff_t>(at));
}

Status CheckIterations(const Header& header) {
  uint64_t all = 0;
  bool none = header.digest_iterations == 0;
  for (const KeySlot& slot : header.slots) {
    if (!slot.active) continue;
    none |= slot.iterations == 0;
    all += uint64_t{slot.iterations} + header.digest_iterations;
  }
  if (!none && all <= kMaxIterations) return Ok();
  return Fail(Code::kInvalidArgument,
              "The LUKS header wants {} iterations of its hash to try a password, or none for a key; {} are "
              "possible",
              all, kMaxIterations);
}

Status CheckSlots(const Header& header) {
  const uint64_t sectors = header.material_bytes() / kSectorBytes;
  for (size_t i = 0; i < kKeySlots; ++i) {
    const KeySlot& slot = header.slots[i];
    const Range place{slot.material_sector, sectors};
    if (place.start * kSectorBytes < kHeaderBytes) {
      return Fail(Code::kInvalidArgument, "Keyslot {} is overlapping with the LUKS header", i);
    }
    // A header that stands apart from what it is about says 0.
    if (header.payload_sector != 0 && place.end() > header.payload_sector) {
      return Fail(Code::kInvalidArgument, "Keyslot {} is overlapping with the encrypted payload", i);
    }
    for (size_t other = i + 1; other < kKeySlots; ++other) {
      if (place.Overlaps({header.slots[other].material_sector, sectors})) {
        return Fail(Code::kInvalidArgument, "Keyslots {} and {} are overlapping in the header", i, other);
      }
    }
  }
  return Ok();
}

Result<Header> Parse(const Raw& raw) {
  if (std::memcmp(raw.data(), kMagic.data(), kMagic.size()) != 0)
    return Fail(Code::kInvalidArgument, "Volume is not in LUKS format");
  if (const auto version = LoadBe<uint16_t>(&raw[6]); version != kVersion) {
    return Fail(Code::kUnimplemented, "LUKS version {} is not supported", version);
  }
  Header header;
  const std::string algorithm = TRY(Text(raw, 8, kNameBytes, "cipher name"));
  const std::string mode = TRY(Text(raw, 40, kNameBytes, "cipher mode"));
  header.hash = TRY(Text(raw, 72, kNameBytes, "hash spec"));
  header.payload_sector = LoadBe<uint32_t>(&raw[104]);
  header.key_bytes = LoadBe<uint32_t>(&raw[108]);
  std::copy_n(&raw[112], kDigestBytes, header.digest.begin());
  std::copy_n(&raw[132], kSaltBytes, header.digest_salt.begin());
  header.digest_iterations = LoadBe<uint32_t>(&raw[164]);
  header.uuid = TRY(Text(raw, 168, kUuidBytes, "UUID"));
  header.cipher = TRY(ParseCipherSpec(algorithm, mode));
  if (header.key_bytes == 0 || header.key_bytes > kMaxKeyBytes) {
    return Fail(Code::kInvalidArgument, "The LUKS master key has {} bytes; 1 to {} are possible",
                header.key_bytes, kMaxKeyBytes);
  }
  for (size_t i = 0; i < kKeySlots; ++i) {
    const uint8_t* entry = &raw[kSlotsOffset + i * kSlotBytes];
    KeySlot& slot = header.slots[i];
    const auto state = LoadBe<uint32_t>(entry);
    if (state != kActive && state != kInactive) {
      return Fail(Code::kInvalidArgument, "Keyslot {} state (active/disable) is corrupted", i);
    }
    slot.active = state == kActive;
    slot.iterations = LoadBe<uint32_t>(entry + 4);
    std::copy_n(entry + 8, kSaltBytes, slot.salt.begin());
    slot.material_sector = LoadBe<uint32_t>(entry + 40);
    if (const auto stripes = LoadBe<uint32_t>(entry + 44); stripes != kStripes) {
      return Fail(Code::kInvalidArgument, "Keyslot {} is corrupted (stripes count {} != {})", i, stripes,
                  kStripes);
    }
  }
  TRY(CheckIterations(header));
  TRY(CheckSlots(header));
  return header;
}

}  // namespace

uint64_t Header::material_bytes() const { return AlignUp(uint64_t{key_bytes} * kStripes, kSectorBytes); }

bool LooksLikeHeader(std::span<const uint8_t> head) {
  return head.size() >= 8 && std::memcmp(head.data(), kMagic.data(), kMagic.size()) == 0 &&
         LoadBe<uint16_t>(&head[6]) == kVersion;
}

Result<Header> ReadHeader(Image* file, uint64_t at) {
  const uint64_t end = file->size_bytes();
  Raw raw{};
  if (at >= end || end - at < raw.size())
    return Fail(Code::kInvalidArgument, "Unable to read LUKS header: the image ends before it");
  if (const int error = Read(file, at, raw); error != 0)
    return FailErrno(error, "Unable to read LUKS header");
  return Parse(raw);
}

Status WriteHeader(Image* file, uint64_t at, const Header& header) {
  Raw raw{};
  std::copy(kMagic.begin(), kMagic.end(), raw.begin());
  StoreBe<uint16_t>(&raw[6], kVersion);
  StoreText(&raw, 8, header.cipher.algorithm);
  StoreText(&raw, 40, header.cipher.ModeText());
  StoreText(&raw, 72, header.hash);
  StoreBe(&raw[104], header.payload_sector);
  StoreBe(&raw[108], header.key_bytes);
  std::copy(header.digest.begin(), header.digest.end(), &raw[112]);
  std::copy(header.digest_salt.begin(), header.digest_salt.end(), &raw[132]);
  StoreBe(&raw[164], header.digest_iterations);
  StoreText(&raw, 168, header.uuid);
  for (size_t i = 0; i < kKeySlots; ++i) {
    const KeySlot& slot = header.slots[i];
    uint8_t* entry = &raw[kSlotsOffset + i * kSlotBytes];
    StoreBe(entry, slot.active ? kActive : kInactive);
    StoreBe(entry + 4, slot.iterations);
    std::copy(slot.salt.begin(), slot.salt.end(), entry + 8);
    StoreBe(entry + 40, slot.material_sector);
    StoreBe(entry + 44, kStripes);
  }
  int error = Write(file, at, raw);
  if (error == 0) error = Flush(file);
  return error == 0 ? Ok() : FailErrno(error, "Unable to write LUKS header");
}

}  // namespace berth::block::luks

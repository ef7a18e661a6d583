// The disk images of Parallels ("Parallels Expandable Image File Format", in QEMU's documentation), for
// reading: a header, a table of one number a cluster, clusters.
#include <algorithm>
#include <array>
#include <cstring>

#include "block/driver.h"
#include "block/read_only_image.h"

namespace berth::block {
namespace {

constexpr std::string_view kMagic = "WithoutFreeSpace", kExtendedMagic = "WithouFreSpacExt";
constexpr uint32_t kVersion = 2;
constexpr uint64_t kSectorBytes = 512, kHeaderBytes = 64;
// So that a cluster's number can be multiplied by it.
constexpr uint32_t kMaxClusterSectors = INT32_MAX / 513;

struct ParallelsHeader {
  uint64_t cluster_bytes = 0;
  uint64_t unit_bytes = 0;  // Of the table's numbers.
  uint32_t entries = 0;
  uint64_t disk_bytes = 0;
};

bool HasMagic(std::span<const uint8_t> head, std::string_view magic) {
  return head.size() >= 20 && std::memcmp(head.data(), magic.data(), magic.size()) == 0 &&
         LoadLe<uint32_t>(&head[16]) == kVersion;
}

Result<ParallelsHeader> ReadHeader(Image* file) {
  std::array<uint8_t, kHeaderBytes> raw{};
  if (const int error =
          Read(file, 0, std::span(raw).first(std::min<uint64_t>(raw.size(), file->size_bytes())));
      error != 0) {
    return FailErrno(error, "Could not read the Parallels header");
  }
  const bool extended = HasMagic(raw, kExtendedMagic);
  if (!extended && !HasMagic(raw, kMagic))
    return Fail(Code::kInvalidArgument, "Image not in Parallels format");
  const auto sectors = LoadLe<uint32_t>(&raw[28]);
  if (sectors == 0) return Fail(Code::kInvalidArgument, "Invalid image: Zero sectors per track");
  if (sectors > kMaxClusterSectors) return Fail(Code::kInvalidArgument, "Invalid image: Too big cluster");
  const auto disk = LoadLe<uint64_t>(&raw[36]);
  ParallelsHeader header{.cluster_bytes = sectors * kSectorBytes,
                         .unit_bytes = extended ? sectors * kSectorBytes : kSectorBytes,
                         .entries = LoadLe<uint32_t>(&raw[32]),
                         // The other half is nobody's before the extended format.
                         .disk_bytes = (extended ? disk : disk & UINT32_MAX) * kSectorBytes};
  if (disk > INT64_MAX / kSectorBytes) return Fail(Code::kInvalidArgument, "Invalid image: Too large a disk");
  if (!Range{0, file->size_bytes()}.Contains(kHeaderBytes, header.entries * uint64_t{4}))
    return Fail(Code::kInvalidArgument, "Catalog too large");
  return header;
}

class ParallelsStore final : public ReadOnlyStore {
 public:
  ParallelsStore(Image* file, const ParallelsHeader& header)
      : ReadOnlyStore(file, nullptr, 0,
                      {.size_bytes = header.disk_bytes,
                       .block_bytes = header.cluster_bytes,
                       .data_from = kHeaderBytes + header.entries * uint64_t{4}}),
        header_(header),
        end_of_file_(file->size_bytes()) {}

 protected:
  int Lookup(uint64_t block, BlockPlace* place) override REQUIRES(mutex_) {
    *place = {};
    if (block >= header_.entries) {
      place->run = blocks() - block;
      return 0;
    }
    uint8_t* entry = nullptr;
    if (const int error = LoadEntry(kHeaderBytes + block * 4, &entry); error != 0) return error;
    const uint64_t number = LoadLe<uint32_t>(entry);
    if (number == 0) return 0;
    if (number >= (end_of_file_ + header_.unit_bytes - 1) / header_.unit_bytes) return EIO;
    *place = {.kind = BlockPlace::Kind::kData, .host = number * header_.unit_bytes};
    return 0;
  }

 private:
  const ParallelsHeader header_;
  const uint64_t end_of_file_;
};

Result<std::unique_ptr<FormatImage>> OpenParallels(OpenContext* context) {
  if (context->flags.writable) return Fail(Code::kUnimplemented, "the format parallels can only be read");
  const ParallelsHeader header = TRY(ReadHeader(context->file.get()));
  auto image = std::make_unique<ReadOnlyImage>(std::move(context->file), ImageInfo{}, std::nullopt);
  image->Use(std::make_unique<ParallelsStore>(image->file(), header));
  return image;
}

}  // namespace

const Format kParallelsFormat{.name = "parallels",
                              .probe =
                                  [](std::span<const uint8_t> head, std::string_view) {
                                    return HasMagic(head, kMagic) || HasMagic(head, kExtendedMagic) ? 100 : 0;
                                  },
                              .open = OpenParallels};

}  // namespace berth::block

// qed, an early relative of qcow2 ("QED Image File Format", in QEMU's documentation), for reading: two levels
// of tables of one size, a cluster for each entry.
#include <algorithm>
#include <array>
#include <string>

#include "block/driver.h"
#include "block/read_only_image.h"

namespace berth::block {
namespace {

constexpr uint32_t kMagic = 0x00444551;  // "QED\0"
constexpr size_t kHeaderBytes = 64;
constexpr uint64_t kMinClusterBytes = 1 << 12, kMaxClusterBytes = 1 << 26;
constexpr uint32_t kMaxTableClusters = 16;
constexpr uint32_t kMaxBackingNameBytes = 1023;
constexpr uint64_t kHasBacking = 1, kNeedsCheck = 2, kBackingIsRaw = 4, kKnownFeatures = 7;
constexpr uint64_t kZeroCluster = 1;  // As an entry of an L2 table.

struct QedHeader {
  uint64_t cluster_bytes = 0;
  uint64_t entries = 0;  // Of a table.
  uint64_t header_bytes = 0;
  uint64_t features = 0;
  uint64_t l1_offset = 0;
  uint64_t disk_bytes = 0;
  uint32_t backing_offset = 0, backing_bytes = 0;
};

Result<QedHeader> ReadHeader(Image* file) {
  std::array<uint8_t, kHeaderBytes> raw{};
  if (const int error =
          Read(file, 0, std::span(raw).first(std::min<uint64_t>(raw.size(), file->size_bytes())));
      error != 0) {
    return FailErrno(error, "Could not read the QED header");
  }
  if (LoadLe<uint32_t>(&raw[0]) != kMagic) return Fail(Code::kInvalidArgument, "Image not in QED format");
  const auto table_clusters = LoadLe<uint32_t>(&raw[8]), header_clusters = LoadLe<uint32_t>(&raw[12]);
  QedHeader header{.cluster_bytes = LoadLe<uint32_t>(&raw[4]),
                   .features = LoadLe<uint64_t>(&raw[16]),
                   .l1_offset = LoadLe<uint64_t>(&raw[40]),
                   .disk_bytes = LoadLe<uint64_t>(&raw[48]),
                   .backing_offset = LoadLe<uint32_t>(&raw[56]),
                   .backing_bytes = LoadLe<uint32_t>(&raw[60])};
  if (const uint64_t unknown = header.features & ~kKnownFeatures; unknown != 0)
    return Fail(Code::kUnimplemented, "Unsupported QED features: {:x}", unknown);
  if (!IsPowerOfTwo(header.cluster_bytes) || header.cluster_bytes < kMinClusterBytes ||
      header.cluster_bytes > kMaxClusterBytes) {
    return Fail(Code::kInvalidArgument, "QED cluster size {} is not a power of two in [{}, {}]",
                header.cluster_bytes, kMinClusterBytes, kMaxClusterBytes);
  }
  if (!IsPowerOfTwo(table_clusters) || table_clusters > kMaxTableClusters) {
    return Fail(Code::kInvalidArgument, "QED tables of {} clusters are not possible; at most {} are",
                table_clusters, kMaxTableClusters);
  }
  header.entries = table_clusters * header.cluster_bytes / 8;
  header.header_bytes = header_clusters * header.cluster_bytes;
  if (!IsAligned(header.l1_offset, header.cluster_bytes) || header.l1_offset >= file->size_bytes())
    return Fail(Code::kInvalidArgument, "the QED L1 table is not inside the file");
  if (!IsAligned(header.disk_bytes, 512) || header.disk_bytes > INT64_MAX ||
      header.disk_bytes / header.cluster_bytes / header.entries >=
          header.entries + (header.disk_bytes == 0)) {
    return Fail(Code::kInvalidArgument, "a QED disk of {} bytes is larger than its tables",
                header.disk_bytes);
  }
  return header;
}

class QedStore final : public ReadOnlyStore {
 public:
  QedStore(Image* file, const FormatImage* owner, const QedHeader& header)
      : ReadOnlyStore(file, owner, 0,
                      {.size_bytes = header.disk_bytes,
                       .block_bytes = header.cluster_bytes,
                       .data_from = header.header_bytes}),
        header_(header),
        end_of_file_(file->size_bytes()) {}

 protected:
  int Lookup(uint64_t block, BlockPlace* place) override REQUIRES(mutex_) {
    *place = {};
    const uint64_t in_table = block % header_.entries;
    uint64_t table = 0, cluster = 0;
    if (const int error = Entry(header_.l1_offset + block / header_.entries * 8, &table); error != 0)
      return error;
    if (table == 0) {
      place->run = header_.entries - in_table;
      return 0;
    }
    if (!IsInside(table)) return EIO;
    if (const int error = Entry(table + in_table * 8, &cluster); error != 0) return error;
    if (cluster == kZeroCluster) {
      place->kind = BlockPlace::Kind::kZero;
    } else if (cluster != 0) {
      if (!IsInside(cluster)) return EIO;
      *place = {.kind = BlockPlace::Kind::kData, .host = cluster};
    }
    return 0;
  }

 private:
  int Entry(uint64_t at, uint64_t* value) REQUIRES(mutex_) {
    uint8_t* entry = nullptr;
    if (at >= end_of_file_) return EIO;
    if (const int error = LoadEntry(at, &entry); error != 0) return error;
    *value = LoadLe<uint64_t>(entry);
    return 0;
  }
  bool IsInside(uint64_t cluster) const {
    return IsAligned(cluster, header_.cluster_bytes) && cluster >= header_.header_bytes &&
           cluster < end_of_file_;
  }

  const QedHeader header_;
  const uint64_t end_of_file_;
};

Result<std::optional<BackingReference>> BackingOfQed(Image* file, const QedHeader& header) {
  if ((header.features & kHasBacking) == 0) return std::nullopt;
  if (header.backing_bytes > kMaxBackingNameBytes ||
      !Range{0, std::min(header.header_bytes, file->size_bytes())}.Contains(header.backing_offset,
                                                                            header.backing_bytes)) {
    return Fail(Code::kInvalidArgument, "the name of the QED image's backing file is not inside its header");
  }
  std::string name(header.backing_bytes, '\0');
  if (const int error =
          Read(file, header.backing_offset, {reinterpret_cast<uint8_t*>(name.data()), name.size()});
      error != 0) {
    return FailErrno(error, "Could not read the name of the backing file");
  }
  return BackingReference{name, (header.features & kBackingIsRaw) != 0 ? "raw" : ""};
}

Result<std::unique_ptr<FormatImage>> OpenQed(OpenContext* context) {
  if (context->flags.writable) return Fail(Code::kUnimplemented, "the format qed can only be read");
  const QedHeader header = TRY(ReadHeader(context->file.get()));
  auto backing = TRY(BackingOfQed(context->file.get(), header));
  auto image = std::make_unique<ReadOnlyImage>(
      std::move(context->file),
      ImageInfo{.cluster_size_bytes = header.cluster_bytes, .dirty = (header.features & kNeedsCheck) != 0},
      std::move(backing));
  image->Use(std::make_unique<QedStore>(image->file(), image.get(), header));
  return image;
}

}  // namespace

const Format kQedFormat{.name = "qed",
                        .probe =
                            [](std::span<const uint8_t> head, std::string_view) {
                              return head.size() >= 4 && LoadLe<uint32_t>(&head[0]) == kMagic ? 100 : 0;
                            },
                        .open = OpenQed};

}  // namespace berth::block

#include "block/qcow2/header.h"

#include <algorithm>
#include <span>

#include "base/bytes.h"

namespace berth::block::qcow2 {
namespace {

// Header fields known here end after the compression type and its padding.
constexpr uint32_t kKnownHeaderBytes = 112;
constexpr uint32_t kMaxFormatNameBytes = 16;

struct FeatureName {
  uint8_t type, bit;
  const char* name;
};
constexpr FeatureName kFeatureNames[] = {
    {0, 0, "dirty bit"},        {0, 1, "corrupt bit"},         {0, 2, "external data file"},
    {0, 3, "compression type"}, {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"},
    {2, 0, "bitmaps"},          {2, 1, "raw external data"}};
constexpr size_t kFeatureNameBytes = 48;

Status CheckTable(const Header& header, uint64_t offset, uint64_t entries, uint64_t entry_bytes,
                  uint64_t max_bytes, std::string_view name) {
  if (entries > max_bytes / entry_bytes) return Fail(Code::kInvalidArgument, "{} too large", name);
  if (offset > INT64_MAX - entries * entry_bytes || !IsAligned(offset, header.cluster_bytes())) {
    return Fail(Code::kInvalidArgument, "{} offset invalid", name);
  }
  return Ok();
}

// The names of bits that are set and not known, by the image's own table of names.
std::string UnknownFeatures(uint64_t bits, std::span<const uint8_t> names) {
  std::string all;
  for (; names.size() >= kFeatureNameBytes && bits != 0; names = names.subspan(kFeatureNameBytes)) {
    if (names[0] != 0 || names[1] >= 64 || !(bits & (uint64_t{1} << names[1]))) continue;
    const char* name = reinterpret_cast<const char*>(names.data()) + 2;
    all += (all.empty() ? "" : ", ") + std::string(name, ::strnlen(name, kFeatureNameBytes - 2));
    bits &= ~(uint64_t{1} << names[1]);
  }
  if (bits != 0) all += fmt::format("{}Unknown incompatible feature: {:x}", all.empty() ? "" : ", ", bits);
  return all;
}

std::string Text(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The extensions between the header and `end`; `names` is set to the feature name table.
Status ReadExtensions(std::span<const uint8_t> cluster, uint64_t at, uint64_t end, Header* header,
                      std::span<const uint8_t>* names) {
  for (int count = 0; at + 8 <= end; ++count) {
    if (count == kMaxExtensions) return Fail(Code::kInvalidArgument, "too many header extensions");
    const auto type = LoadBe<uint32_t>(&cluster[at]);
    const uint64_t length = LoadBe<uint32_t>(&cluster[at + 4]);
    at += 8;
    if (type == kExtensionEnd) return Ok();
    if (length > end - at) return Fail(Code::kInvalidArgument, "Header extension too large");
    const auto data = cluster.subspan(at, length);
    switch (type) {
      case kExtensionBackingFormat:
        if (length >= kMaxFormatNameBytes) {
          return Fail(Code::kInvalidArgument, "ERROR: ext_backing_format: len={} too large (>=16)", length);
        }
        header->backing_format = Text(data);
        break;
      case kExtensionFeatureNames:
        *names = data;
        break;
      case kExtensionDataFile:
        header->data_file = Text(data);
        break;
      default:
        header->unknown_extensions.push_back({type, {data.begin(), data.end()}});
    }
    at += AlignUp(length, 8);
  }
  return Ok();
}

Status CheckFeatures(const Header& header, std::span<const uint8_t> names) {
  if (const uint64_t unknown = header.incompatible & ~kKnownIncompatible; unknown != 0) {
    return Fail(Code::kUnimplemented, "Unsupported qcow2 feature(s): {}", UnknownFeatures(unknown, names));
  }
  if (header.refcount_order > 6) {
    return Fail(Code::kInvalidArgument, "Reference count entry width too large; may not exceed 64 bits");
  }
  const bool has_type = (header.incompatible & kCompressionType) != 0;
  if (has_type && header.compression == Compression::kZlib) {
    return Fail(Code::kInvalidArgument, "qcow2: Compression type incompatible feature bit must not be set");
  }
  if (!has_type && header.compression != Compression::kZlib) {
    return Fail(Code::kInvalidArgument, "qcow2: Compression type incompatible feature bit must be set");
  }
  if (header.extended_l2() && header.cluster_bits < kMinExtendedClusterBits) {
    return Fail(Code::kInvalidArgument,
                "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes");
  }
  return Ok();
}

Status CheckTables(const Header& header) {
  TRY(CheckTable(header, header.refcount_table_offset,
                 uint64_t{header.refcount_table_clusters} << (header.cluster_bits - 3), 8,
                 kMaxRefcountTableBytes, "Reference count table"));
  TRY(CheckTable(header, header.snapshots_offset, header.snapshot_count, 40, uint64_t{1024} * kMaxSnapshots,
                 "Snapshot table"));
  if (header.snapshot_count > kMaxSnapshots) return Fail(Code::kInvalidArgument, "Snapshot table too large");
  TRY(CheckTable(header, header.l1_offset, header.l1_entries, 8, kMaxL1Bytes, "Active L1 table"));
  const uint64_t needed = header.L1EntriesFor(header.size_bytes);
  if (needed > INT32_MAX) return Fail(Code::kInvalidArgument, "Image is too big");
  if (header.l1_entries < needed) return Fail(Code::kInvalidArgument, "L1 table is too small");
  return Ok();
}

Status ReadFields(std::span<const uint8_t> head, uint64_t header_bytes, Header* header) {
  header->refcount_table_offset = LoadBe<uint64_t>(&head[48]);
  header->refcount_table_clusters = LoadBe<uint32_t>(&head[56]);
  header->size_bytes = LoadBe<uint64_t>(&head[24]);
  header->encryption = LoadBe<uint32_t>(&head[32]);
  header->l1_entries = LoadBe<uint32_t>(&head[36]);
  header->l1_offset = LoadBe<uint64_t>(&head[40]);
  header->snapshot_count = LoadBe<uint32_t>(&head[60]);
  header->snapshots_offset = LoadBe<uint64_t>(&head[64]);
  if (header->version == 2) return Ok();
  header->incompatible = LoadBe<uint64_t>(&head[72]);
  header->compatible = LoadBe<uint64_t>(&head[80]);
  header->autoclear = LoadBe<uint64_t>(&head[88]);
  header->refcount_order = LoadBe<uint32_t>(&head[96]);
  if (header_bytes > kVersion3HeaderBytes) {
    if (head[104] > 1) return Fail(Code::kUnimplemented, "qcow2: unknown compression type: {}", head[104]);
    header->compression = static_cast<Compression>(head[104]);
  }
  if (header_bytes > kKnownHeaderBytes) {
    header->unknown_fields.assign(head.begin() + kKnownHeaderBytes,
                                  head.begin() + static_cast<ptrdiff_t>(header_bytes));
  }
  return Ok();
}

void Append(std::vector<uint8_t>* out, uint32_t type, std::span<const uint8_t> data) {
  const size_t at = out->size();
  out->resize(at + 8 + AlignUp(data.size(), 8));
  StoreBe<uint32_t>(out->data() + at, type);
  StoreBe<uint32_t>(out->data() + at + 4, static_cast<uint32_t>(data.size()));
  std::copy(data.begin(), data.end(), out->begin() + static_cast<ptrdiff_t>(at + 8));
}

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

uint64_t Header::L1EntriesFor(uint64_t bytes) const {
  const uint64_t covered = cluster_bytes() * l2_entries();
  return bytes / covered + (bytes % covered != 0);
}

Result<Header> ReadHeader(Image* file) {
  uint8_t fixed[kKnownHeaderBytes] = {};
  const uint64_t file_bytes = file->size_bytes();
  if (const int error = Read(file, 0, {fixed, std::min<uint64_t>(sizeof(fixed), file_bytes)}); error != 0) {
    return FailErrno(error, "Could not read qcow2 header");
  }
  if (LoadBe<uint32_t>(fixed) != kMagic) return Fail(Code::kInvalidArgument, "Image is not in qcow2 format");
  Header header;
  header.version = LoadBe<uint32_t>(fixed + 4);
  if (header.version < 2 || header.version > 3) {
    return Fail(Code::kUnimplemented, "Unsupported qcow2 version {}", header.version);
  }
  header.cluster_bits = LoadBe<uint32_t>(fixed + 20);
  if (header.cluster_bits < kMinClusterBits || header.cluster_bits > kMaxClusterBits) {
    return Fail(Code::kInvalidArgument, "Unsupported cluster size: 2^{}", header.cluster_bits);
  }
  const uint64_t header_bytes = header.version == 2 ? kVersion2HeaderBytes : LoadBe<uint32_t>(fixed + 100);
  if (header.version == 3 && header_bytes < kVersion3HeaderBytes) {
    return Fail(Code::kInvalidArgument, "qcow2 header too short");
  }
  if (header_bytes > header.cluster_bytes())
    return Fail(Code::kInvalidArgument, "qcow2 header exceeds cluster size");

  std::vector<uint8_t> cluster(header.cluster_bytes());
  if (const int error = Read(file, 0, {cluster.data(), std::min<uint64_t>(cluster.size(), file_bytes)});
      error != 0) {
    return FailErrno(error, "Could not read qcow2 header");
  }
  TRY(ReadFields(cluster, header_bytes, &header));
  const auto backing_offset = LoadBe<uint64_t>(fixed + 8);
  const auto backing_bytes = LoadBe<uint32_t>(fixed + 16);
  if (backing_offset > header.cluster_bytes())
    return Fail(Code::kInvalidArgument, "Invalid backing file offset");
  const uint64_t extensions_end = backing_offset != 0 ? backing_offset : header.cluster_bytes();
  std::span<const uint8_t> names;
  if (extensions_end > header_bytes) {
    TRY(ReadExtensions(cluster, header_bytes, extensions_end, &header, &names));
  }
  TRY(CheckFeatures(header, names));
  TRY(CheckTables(header));
  if (backing_offset != 0) {
    if (backing_bytes > kMaxBackingNameBytes || backing_bytes > header.cluster_bytes() - backing_offset) {
      return Fail(Code::kInvalidArgument, "Backing file name too long");
    }
    header.backing_file = Text(std::span(cluster).subspan(backing_offset, backing_bytes));
  }
  return header;
}

namespace {

std::vector<uint8_t> Encode(const Header& header, bool with_names) {
  const uint64_t header_bytes =
      header.version == 2 ? kVersion2HeaderBytes : kKnownHeaderBytes + header.unknown_fields.size();
  std::vector<uint8_t> out(header_bytes);
  StoreBe<uint32_t>(&out[0], kMagic);
  StoreBe<uint32_t>(&out[4], header.version);
  StoreBe<uint32_t>(&out[20], header.cluster_bits);
  StoreBe<uint64_t>(&out[24], header.size_bytes);
  StoreBe<uint32_t>(&out[32], header.encryption);
  StoreBe<uint32_t>(&out[36], header.l1_entries);
  StoreBe<uint64_t>(&out[40], header.l1_offset);
  StoreBe<uint64_t>(&out[48], header.refcount_table_offset);
  StoreBe<uint32_t>(&out[56], header.refcount_table_clusters);
  StoreBe<uint32_t>(&out[60], header.snapshot_count);
  StoreBe<uint64_t>(&out[64], header.snapshots_offset);
  if (header.version == 3) {
    StoreBe<uint64_t>(&out[72], header.incompatible);
    StoreBe<uint64_t>(&out[80], header.compatible);
    StoreBe<uint64_t>(&out[88], header.autoclear);
    StoreBe<uint32_t>(&out[96], header.refcount_order);
    StoreBe<uint32_t>(&out[100], static_cast<uint32_t>(header_bytes));
    out[104] = static_cast<uint8_t>(header.compression);
    std::copy(header.unknown_fields.begin(), header.unknown_fields.end(), out.begin() + kKnownHeaderBytes);
  }
  if (!header.backing_format.empty()) Append(&out, kExtensionBackingFormat, Bytes(header.backing_format));
  if (header.has_data_file() && !header.data_file.empty()) {
    Append(&out, kExtensionDataFile, Bytes(header.data_file));
  }
  if (header.version == 3 && with_names) {
    std::vector<uint8_t> names(std::size(kFeatureNames) * kFeatureNameBytes);
    for (size_t i = 0; i < std::size(kFeatureNames); ++i) {
      uint8_t* entry = &names[i * kFeatureNameBytes];
      entry[0] = kFeatureNames[i].type;
      entry[1] = kFeatureNames[i].bit;
      std::copy_n(kFeatureNames[i].name, std::string_view(kFeatureNames[i].name).size(), entry + 2);
    }
    Append(&out, kExtensionFeatureNames, names);
  }
  for (const Extension& extension : header.unknown_extensions) Append(&out, extension.type, extension.data);
  Append(&out, kExtensionEnd, {});
  if (!header.backing_file.empty()) {
    StoreBe<uint64_t>(&out[8], out.size());
    StoreBe<uint32_t>(&out[16], static_cast<uint32_t>(header.backing_file.size()));
    const auto name = Bytes(header.backing_file);
    out.insert(out.end(), name.begin(), name.end());
  }
  return out;
}

}  // namespace

Result<std::vector<uint8_t>> EncodeHeader(const Header& header) {
  std::vector<uint8_t> out = Encode(header, true);
  // The names of features are for those who do not know them: they are the first to give way.
  if (out.size() > header.cluster_bytes()) out = Encode(header, false);
  if (out.size() > header.cluster_bytes()) {
    return Fail(Code::kInvalidArgument,
                "the header, its extensions and the backing file's name do not fit into the first cluster");
  }
  out.resize(header.cluster_bytes());
  return out;
}

}  // namespace berth::block::qcow2

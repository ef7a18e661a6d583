// Making qcow2 images, and telling how large they will be.
#include <algorithm>
#include <bit>

#include "block/chain.h"
#include "block/open.h"
#include "block/qcow2/amend_options.h"
#include "block/qcow2/image.h"

namespace berth::block::qcow2 {
namespace {

using Type = CreateOption::Type;

// In the order in which `create` prints them.
constexpr CreateOption kCreateOptions[] = {
    {"encryption", Type::kBool,
     "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)"},
    {"encrypt.format", Type::kString, "Encrypt the image, format choices: 'aes', 'luks'"},
    {"encrypt.key-secret", Type::kString, "ID of secret providing qcow AES key or LUKS passphrase"},
    {"encrypt.cipher-alg", Type::kString, "Name of encryption cipher algorithm"},
    {"encrypt.cipher-mode", Type::kString, "Name of encryption cipher mode"},
    {"encrypt.ivgen-alg", Type::kString, "Name of IV generator algorithm"},
    {"encrypt.ivgen-hash-alg", Type::kString, "Name of IV generator hash algorithm"},
    {"encrypt.hash-alg", Type::kString, "Name of encryption hash algorithm"},
    {"encrypt.iter-time", Type::kNumber, "Time to spend in PBKDF in milliseconds"},
    {"cluster_size", Type::kSize, "qcow2 cluster size", "65536"},
    {"extended_l2", Type::kBool, "Extended L2 tables", "off"},
    {"preallocation", Type::kString, "Preallocation mode (allowed values: off, metadata, falloc, full)"},
    {"compression_type", Type::kString, "Compression method used for image cluster compression", "zlib"},
    {"size", Type::kSize, "Virtual disk size"},
    {"compat", Type::kString, "Compatibility level (v2 [0.10] or v3 [1.1])"},
    {"backing_file", Type::kString, "File name of a base image"},
    {"backing_fmt", Type::kString, "Image format of the base image"},
    {"data_file", Type::kString, "File name of an external data file"},
    {"data_file_raw", Type::kBool, "The external data file must stay valid as a raw image"},
    {"lazy_refcounts", Type::kBool, "Postpone refcount updates", "off"},
    {"refcount_bits", Type::kNumber, "Width of a reference count entry in bits", "16"},
};

constexpr std::string_view kNeedsVersion3 =
    "only supported with compatibility level 1.1 and above (use version=v3 or greater)";

Result<Preallocation> PreallocationOf(const CreateOptions& options) {
  const std::string name = options.String("preallocation");
  if (name.empty()) return Preallocation::kOff;
  const auto preallocation = ParsePreallocation(name);
  if (!preallocation)
    return Fail(Code::kInvalidArgument, "Parameter 'preallocation' does not accept value '{}'", name);
  return *preallocation;
}

Result<Header> HeaderOf(const CreateOptions& options) {
  Header header;
  const std::string compat = options.String("compat");
  if (compat == "0.10" || compat == "v2") {
    header.version = 2;
  } else if (!compat.empty() && compat != "1.1" && compat != "v3") {
    return Fail(Code::kInvalidArgument, "Parameter 'version' does not accept value '{}'", compat);
  }
  const uint64_t cluster = options.Number("cluster_size");
  if (!IsPowerOfTwo(cluster) || cluster < 1u << kMinClusterBits || cluster > 1u << kMaxClusterBits) {
    return Fail(Code::kInvalidArgument, "Cluster size must be a power of two between 512 and 2048k");
  }
  header.cluster_bits = static_cast<uint32_t>(std::countr_zero(cluster));
  if (options.Bool("extended_l2")) {
    if (header.version < 3) return Fail(Code::kInvalidArgument, "Extended L2 entries are {}", kNeedsVersion3);
    if (header.cluster_bits < kMinExtendedClusterBits) {
      return Fail(Code::kInvalidArgument,
                  "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes");
    }
    header.incompatible |= kExtendedL2;
  }
  const uint64_t bits = options.Number("refcount_bits");
  if (!IsPowerOfTwo(bits) || bits > 64) {
    return Fail(Code::kInvalidArgument, "Refcount width must be a power of two and may not exceed 64 bits");
  }
  if (header.version < 3 && bits != 16) {
    return Fail(Code::kInvalidArgument,
                "Different refcount widths than 16 bits require compatibility level 1.1 or "
                "above (use version=v3 or greater)");
  }
  header.refcount_order = static_cast<uint32_t>(std::countr_zero(bits));
  if (options.Bool("lazy_refcounts")) {
    if (header.version < 3) return Fail(Code::kInvalidArgument, "Lazy refcounts {}", kNeedsVersion3);
    header.compatible |= kLazyRefcounts;
  }
  const std::string compression = options.String("compression_type");
  if (compression == "zstd") {
    if (header.version < 3) {
      return Fail(Code::kInvalidArgument, "Non-zlib compression type is {}", kNeedsVersion3);
    }
    header.compression = Compression::kZstd;
    header.incompatible |= kCompressionType;
  } else if (compression != "zlib") {
    return Fail(Code::kInvalidArgument, "Parameter 'compression-type' does not accept value '{}'",
                compression);
  }
  return header;
}

Status CheckCombination(const Header& header, const CreateOptions& options, Preallocation preallocation) {
  if (!options.String("backing_file").empty() && preallocation != Preallocation::kOff &&
      !header.extended_l2()) {
    return Fail(Code::kInvalidArgument,
                "Backing file and preallocation can only be used at the same time if extended_l2 is enabled");
  }
  if (options.Has("backing_fmt") && !options.Has("backing_file")) {
    return Fail(Code::kInvalidArgument, "Backing format cannot be used without backing file");
  }
  if (options.Has("data_file") && header.version < 3) {
    return Fail(Code::kInvalidArgument, "External data files are {}", kNeedsVersion3);
  }
  if (options.Bool("data_file_raw") && !options.Has("data_file")) {
    return Fail(Code::kInvalidArgument, "data-file-raw requires data-file");
  }
  if (options.Bool("data_file_raw") && options.Has("backing_file")) {
    return Fail(Code::kInvalidArgument, "Backing file and data-file-raw cannot be used at the same time");
  }
  return Ok();
}

uint64_t RoundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

// Of a refcount table and its blocks that count `clusters` and themselves.
uint64_t RefcountBytes(const Header& header, uint64_t clusters) {
  uint64_t table = 0, blocks = 0;
  for (uint64_t last = 0, all = clusters; all != last; all = clusters + table + blocks) {
    last = all;
    blocks = RoundUp(all, header.refcounts_per_block()) / header.refcounts_per_block();
    table = RoundUp(blocks, header.cluster_bytes() / 8) / (header.cluster_bytes() / 8);
  }
  return (table + blocks) * header.cluster_bytes();
}

// Header, refcount table, refcount blocks, and behind them room for a LUKS header: an image of nothing. Sets
// where they are.
Status WriteEmpty(Image* file, Header* header, uint64_t luks_bytes) {
  const uint64_t cluster = header->cluster_bytes(), per_block = header->refcounts_per_block();
  const uint64_t luks_clusters = RoundUp(luks_bytes, cluster) / cluster;
  const uint64_t counting = RefcountBytes(*header, 1 + luks_clusters) / cluster;
  const uint64_t all = 1 + counting + luks_clusters, blocks = RoundUp(all, per_block) / per_block;
  header->refcount_table_offset = cluster;
  header->refcount_table_clusters = static_cast<uint32_t>(counting - blocks);
  const uint64_t first_block = 1 + header->refcount_table_clusters;
  if (luks_bytes != 0) SetEncryptionHeaderPlace(header, {(1 + counting) * cluster, luks_bytes});

  std::vector<uint8_t> bytes = TRY(EncodeHeader(*header));
  bytes.resize((1 + counting) * cluster);
  for (uint64_t i = 0; i < blocks; ++i) StoreBe(&bytes[cluster + i * 8], (first_block + i) * cluster);
  for (uint64_t i = 0; i < all; ++i) {
    uint8_t* block = &bytes[(first_block + i / per_block) * cluster];
    StoreRefcount(block, header->refcount_order, i % per_block, 1);
  }
  if (const int error = Write(file, 0, bytes); error != 0)
    return FailErrno(error, "Could not write qcow2 header");
  return Ok();
}

uint64_t FullyAllocated(const Header& header, uint64_t size) {
  const uint64_t cluster = header.cluster_bytes();
  const uint64_t l2 = RoundUp(size / cluster, header.l2_entries()) * header.l2_entry_bytes();
  const uint64_t l1 = RoundUp(l2 / cluster, cluster / 8) * 8;
  const uint64_t metadata = cluster + l2 + l1;
  return metadata + size + RefcountBytes(header, (metadata + size) / cluster);
}

// Of copies of these bitmaps: their bits, tables and directory.
uint64_t BitmapBytes(const std::vector<BitmapInfo>& bitmaps, uint64_t disk_bytes, uint64_t cluster) {
  uint64_t bytes = 0, directory = 0;
  for (const BitmapInfo& info : bitmaps) {
    if (info.inconsistent) continue;
    const uint64_t pages = Bitmap{.info = info}.PageCount(disk_bytes, cluster);
    bytes += pages * cluster + RoundUp(pages * 8, cluster);
    directory += BitmapEntryBytes(info.name.size(), 0);
  }
  return bytes + RoundUp(directory, cluster);
}

// Bytes of clusters that hold data somewhere in the chain.
Result<uint64_t> DataBytes(Image* source, uint64_t cluster) {
  uint64_t bytes = 0;
  const uint64_t size = source->size_bytes();
  for (uint64_t at = 0; at < size;) {
    const ChainExtent extent = TRY(StatusAbove(source, nullptr, at, size - at));
    uint64_t length = extent.length;
    if (!extent.zero && extent.data) {
      length = RoundUp(at + length, cluster) - at;
      bytes += at % cluster + length;
    }
    at += length;
  }
  return bytes;
}

}  // namespace

Status Create(const std::string& filename, const CreateOptions& options) {
  const uint64_t size = RoundUp(options.Number("size"), kSectorBytes);
  Header header = TRY(HeaderOf(options));
  const Preallocation preallocation = TRY(PreallocationOf(options));
  TRY(CheckCombination(header, options, preallocation));
  const EncryptionRequest encryption = TRY(EncryptionRequestOf(options));
  header.backing_file = options.String("backing_file");
  header.backing_format = options.String("backing_fmt");
  if (header.backing_file.size() > kMaxBackingNameBytes)
    return Fail(Code::kInvalidArgument, "Backing file name too long");
  if (header.L1EntriesFor(size) > kMaxL1Bytes / 8) {
    return Fail(Code::kInvalidArgument,
                "The image size is too large for file format 'qcow2' (try using a larger cluster size)");
  }
  const Protocol* protocol = ProtocolOf(filename);
  if (protocol == nullptr || protocol->create == nullptr) {
    return Fail(Code::kUnimplemented, "there is no protocol that could create '{}'", filename);
  }
  CreateOptions file_options(protocol->create_options);
  TRY(file_options.Set("size", "0"));
  const OpenFlags flags{.writable = true, .no_flush = true, .no_backing = true};
  std::unique_ptr<Image> data_file;
  if (const std::string name = options.String("data_file"); !name.empty()) {
    header.data_file = name;
    header.incompatible |= kExternalData;
    if (options.Bool("data_file_raw")) header.autoclear |= kRawExternalData;
    const Protocol* data_protocol = ProtocolOf(name);
    if (data_protocol == nullptr || data_protocol->create == nullptr) {
      return Fail(Code::kUnimplemented, "there is no protocol that could create '{}'", name);
    }
    CreateOptions data_options(data_protocol->create_options);
    TRY(data_options.Set("size", std::to_string(size)));
    TRY(data_protocol->create(name, data_options));
    data_file = TRY(OpenProtocol(name, flags));
  }
  TRY(protocol->create(filename, file_options));
  auto file = TRY(OpenProtocol(filename, flags));
  header.encryption = encryption.method;
  TRY(WriteEmpty(file.get(), &header, encryption.header_bytes()));
  auto made = TRY(MakeEncryption(file.get(), header, encryption));
  auto image =
      std::make_unique<Qcow2Image>(std::move(file), std::move(data_file), std::move(made), header, flags);
  TRY(image->Load());
  TRY(image->Resize(size, preallocation));
  if (const int error = Flush(image.get()); error != 0)
    return FailErrno(error, "Could not write the new image");
  return Ok();
}

Result<Measurement> Measure(const CreateOptions& options, Image* source) {
  const Header header = TRY(HeaderOf(options));
  const Preallocation preallocation = TRY(PreallocationOf(options));
  const uint64_t cluster = header.cluster_bytes();
  const uint64_t size = RoundUp(source != nullptr ? source->size_bytes() : options.Number("size"), cluster);
  if (header.L1EntriesFor(size) > kMaxL1Bytes / 8) {
    return Fail(Code::kInvalidArgument, "The image size is too large (try using a larger cluster size)");
  }
  const bool full = preallocation == Preallocation::kFull || preallocation == Preallocation::kFalloc;
  const uint64_t luks = RoundUp(TRY(EncryptionRequestOf(options)).header_bytes(), cluster);
  const uint64_t data = full ? size : source != nullptr ? TRY(DataBytes(source, cluster)) : 0;
  const uint64_t all = FullyAllocated(header, size) + luks;
  Measurement measured{.required_bytes = all - size + data, .fully_allocated_bytes = all};
  auto* store = dynamic_cast<BitmapStore*>(source);
  if (header.version >= 3 && store != nullptr && store->CanHaveBitmaps()) {
    measured.bitmap_bytes = BitmapBytes(store->Bitmaps(), source->size_bytes(), cluster);
  }
  return measured;
}

}  // namespace berth::block::qcow2

namespace berth::block {

const Format kQcow2Format{.name = "qcow2",
                          .probe =
                              [](std::span<const uint8_t> head, std::string_view) {
                                return head.size() >= 8 && LoadBe<uint32_t>(&head[0]) == qcow2::kMagic &&
                                               LoadBe<uint32_t>(&head[4]) >= 2
                                           ? 100
                                           : 0;
                              },
                          .open = qcow2::Open,
                          .create_options = qcow2::kCreateOptions,
                          .create = qcow2::Create,
                          .compresses = true,
                          .amend_options = qcow2::kAmendTable,
                          .amend = qcow2::Amend,
                          .measure = qcow2::Measure};

}  // namespace berth::block

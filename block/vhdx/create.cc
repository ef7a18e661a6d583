// Making vhdx disks.
#include <algorithm>

#include "block/new_file.h"
#include "block/vhdx/image.h"

namespace berth::block::vhdx {
namespace {

using Type = CreateOption::Type;

constexpr CreateOption kCreateOptions[] = {
    {"size", Type::kSize, "Virtual disk size; max of 64TB."},
    {"log_size", Type::kSize, "Log size; min 1MB.", "1048576"},
    {"block_size", Type::kSize, "Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size.",
     "0"},
    {"subformat", Type::kString,
     "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'."},
    {"block_state_zero", Type::kBool,
     "Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not set to 'off' when using "
     "'qemu-img convert' with subformat=dynamic."},
};

constexpr uint64_t kLogOffset = kMiB;
// In the metadata region: the table, and its items behind it.
constexpr uint64_t kMetadataBytes = kMiB;
constexpr uint32_t kItemsFrom = 64 * kKiB;
constexpr uint32_t kPhysicalSectorBytes = 512;

struct Plan {
  Layout layout;
  uint64_t log_bytes = 0;
  bool fixed = false, marks_zero = true;

  uint64_t metadata_offset() const { return layout.table_offset + layout.table_bytes; }
  uint64_t data_offset() const { return metadata_offset() + kMetadataBytes; }
};

uint64_t BlockBytesFor(uint64_t size) {
  if (size > 32 * 1024 * kGiB) return 64 * kMiB;
  if (size > 100 * kGiB) return 32 * kMiB;
  return size > kGiB ? 16 * kMiB : 8 * kMiB;
}

Result<Plan> PlanOf(const CreateOptions& options) {
  const std::string subformat = options.String("subformat");
  if (subformat != "fixed" && subformat != "dynamic" && !subformat.empty()) {
    return Fail(Code::kInvalidArgument, "Parameter 'subformat' does not accept value '{}'", subformat);
  }
  Plan plan{.log_bytes = std::max(AlignUp(options.Number("log_size"), kUnit), kUnit),
            .fixed = subformat == "fixed"};
  if (options.Has("block_state_zero")) plan.marks_zero = options.Bool("block_state_zero");
  Layout& layout = plan.layout;
  layout.disk_bytes = AlignUp(options.Number("size"), 512);
  if (layout.disk_bytes > kMaxDiskBytes)
    return Fail(Code::kInvalidArgument, "Image size too large; max of 64TB");
  if (plan.log_bytes > kMaxLogBytes) {
    return Fail(Code::kInvalidArgument, "Log size must not exceed {}", kMaxLogBytes);
  }
  layout.block_bytes = options.Number("block_size");
  if (layout.block_bytes == 0) layout.block_bytes = BlockBytesFor(layout.disk_bytes);
  if (layout.block_bytes % kUnit != 0)
    return Fail(Code::kInvalidArgument, "Block size must be a multiple of 1 MB");
  if (!IsPowerOfTwo(layout.block_bytes))
    return Fail(Code::kInvalidArgument, "Block size must be a power of two");
  layout.block_bytes = std::min(layout.block_bytes, kMaxBlockBytes);
  layout.table_offset = kLogOffset + plan.log_bytes;
  // QEMU, to which a table of no blocks has -1 / chunk ratio entries, opens an empty disk with room for those
  // only: a hole of the file.
  const uint64_t entries = layout.disk_bytes == 0 ? UINT32_MAX / layout.chunk_ratio() : layout.entries();
  layout.table_bytes = std::max(AlignUp(entries * 8, kUnit), kUnit);
  return plan;
}

std::vector<uint8_t> MakeRegionTable(const Plan& plan) {
  std::vector<uint8_t> raw(kRegionTableBytes);
  StoreLe<uint32_t>(&raw[0], kRegionSignature);
  StoreLe<uint32_t>(&raw[8], 2);
  const auto put = [&](size_t at, const Guid& guid, uint64_t offset, uint64_t bytes) {
    std::copy(guid.begin(), guid.end(), raw.begin() + static_cast<ptrdiff_t>(at));
    StoreLe<uint64_t>(&raw[at + 16], offset);
    StoreLe<uint32_t>(&raw[at + 24], static_cast<uint32_t>(bytes));
    StoreLe<uint32_t>(&raw[at + 28], 1);  // Required.
  };
  put(16, kTableRegion, plan.layout.table_offset, plan.layout.table_bytes);
  put(48, kMetadataRegion, plan.metadata_offset(), kMetadataBytes);
  StoreLe<uint32_t>(&raw[4], Checksum(raw, 4));
  return raw;
}

std::vector<uint8_t> MakeMetadata(const Plan& plan) {
  constexpr uint32_t kIsVirtualDisk = 2, kIsRequired = 4;
  std::vector<uint8_t> raw(kItemsFrom + 4096);
  std::copy(kMetadataSignature.begin(), kMetadataSignature.end(), raw.begin());
  uint32_t item = kItemsFrom;
  uint16_t count = 0;
  const auto put = [&](const Guid& guid, uint32_t bytes, uint32_t bits) {
    uint8_t* entry = &raw[32 + count++ * size_t{32}];
    std::copy(guid.begin(), guid.end(), entry);
    StoreLe<uint32_t>(entry + 16, item);
    StoreLe<uint32_t>(entry + 20, bytes);
    StoreLe<uint32_t>(entry + 24, bits);
    uint8_t* const value = &raw[item];
    item += bytes;
    return value;
  };
  StoreLe<uint64_t>(put(kFileParameters, 8, kIsRequired),
                    plan.layout.block_bytes | (plan.fixed ? uint64_t{1} << 32 : 0));
  StoreLe<uint64_t>(put(kDiskSize, 8, kIsVirtualDisk | kIsRequired), plan.layout.disk_bytes);
  const Guid page83 = RandomGuid();
  std::copy(page83.begin(), page83.end(), put(kPage83, 16, kIsVirtualDisk | kIsRequired));
  StoreLe<uint32_t>(put(kLogicalSector, 4, kIsVirtualDisk | kIsRequired), plan.layout.sector_bytes);
  StoreLe<uint32_t>(put(kPhysicalSector, 4, kIsVirtualDisk | kIsRequired), kPhysicalSectorBytes);
  StoreLe<uint16_t>(&raw[10], count);
  return raw;
}

int WriteTable(Image* file, const Plan& plan) {
  if (!plan.fixed && !plan.marks_zero) return 0;  // Not present, as the new file has it.
  const Layout& layout = plan.layout;
  std::vector<uint8_t> piece;
  uint64_t piece_at = layout.table_offset;
  for (uint64_t block = 0; block < layout.blocks(); ++block) {
    const uint64_t at = layout.EntryOf(block) - piece_at;
    piece.resize(at + 8);
    StoreLe<uint64_t>(&piece[at],
                      plan.fixed ? (plan.data_offset() + block * layout.block_bytes) | kPresent : kZero);
    if (piece.size() < kMiB && block + 1 < layout.blocks()) continue;
    if (const int error = Write(file, piece_at, piece); error != 0) return error;
    piece_at += piece.size();
    piece.clear();
  }
  return 0;
}

Status Create(const std::string& filename, const CreateOptions& options) {
  const Plan plan = TRY(PlanOf(options));
  const auto file = TRY(CreateFileFor(filename, 0));
  const uint64_t data = plan.fixed ? plan.layout.blocks() * plan.layout.block_bytes : 0;
  TRY(file->Resize(plan.data_offset() + data, Preallocation::kOff));
  std::vector<uint8_t> identifier(kFileSignature.begin(), kFileSignature.end());
  for (const char c : std::string_view("Berth"))
    identifier.insert(identifier.end(), {static_cast<uint8_t>(c), 0});
  const std::vector<uint8_t> regions = MakeRegionTable(plan);
  int error = Write(file.get(), 0, identifier);
  for (const uint64_t offset : kRegionOffsets) {
    if (error == 0) error = Write(file.get(), offset, regions);
  }
  if (error == 0) error = Write(file.get(), plan.metadata_offset(), MakeMetadata(plan));
  if (error == 0) error = WriteTable(file.get(), plan);
  if (error != 0) return FailErrno(error, "Could not write the image's tables");
  Header header{.sequence = 1,
                .file_write = RandomGuid(),
                .data_write = RandomGuid(),
                .log_bytes = plan.log_bytes,
                .log_offset = kLogOffset};
  TRY(WriteHeader(file.get(), &header));
  return WriteHeader(file.get(), &header);
}

}  // namespace
}  // namespace berth::block::vhdx

namespace berth::block {

const Format kVhdxFormat{
    .name = "vhdx",
    .probe =
        [](std::span<const uint8_t> head, std::string_view) {
          const auto& signature = vhdx::kFileSignature;
          return head.size() >= 8 && std::equal(signature.begin(), signature.end(), head.begin()) ? 100 : 0;
        },
    .open = vhdx::Open,
    .create_options = vhdx::kCreateOptions,
    .create = vhdx::Create};

}  // namespace berth::block

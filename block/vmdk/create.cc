// Making VMware disks.
#include <algorithm>

#include "block/new_file.h"
#include "block/open.h"
#include "block/vmdk/image.h"

namespace berth::block::vmdk {
namespace {

using Type = CreateOption::Type;

constexpr uint64_t kSplitBytes = 2 * kGiB;

// In the order in which `create` prints them.
constexpr CreateOption kCreateOptions[] = {
    {"size", Type::kSize, "Virtual disk size"},
    {"adapter_type", Type::kString,
     "Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX"},
    {"backing_file", Type::kString, "File name of a base image"},
    {"backing_fmt", Type::kString, "Must be 'vmdk' if present"},
    {"compat6", Type::kBool, "VMDK version 6 image", "off"},
    {"hwversion", Type::kString, "VMDK hardware version", "undefined"},
    {"toolsversion", Type::kString, "VMware guest tools version"},
    {"subformat", Type::kString,
     "VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat | "
     "twoGbMaxExtentSparse | "
     "twoGbMaxExtentFlat | streamOptimized} "},
    {"zeroed_grain", Type::kBool, "Enable efficient zero writes using the zeroed-grain GTE feature"},
};

struct Plan {
  uint64_t size_bytes = 0;
  bool split = false, flat = false, stream = false, zeroed_grains = false;
  Descriptor descriptor;
  DiskDatabase database;
};

Status CheckName(const std::string& value, std::span<const std::string_view> known) {
  if (std::find(known.begin(), known.end(), value) != known.end()) return Ok();
  return Fail(Code::kInvalidArgument, "invalid parameter value: {}", value);
}

Result<Plan> PlanOf(const std::string& filename, const CreateOptions& options) {
  static constexpr std::string_view kAdapters[] = {"ide", "buslogic", "lsilogic", "legacyESX"};
  static constexpr std::string_view kSubformats[] = {
      "monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"};
  Plan plan{.size_bytes = AlignUp(options.Number("size"), kSectorBytes)};
  plan.database.adapter_type = options.Has("adapter_type") ? options.String("adapter_type") : "ide";
  plan.database.tools_version = options.Has("toolsversion") ? options.String("toolsversion") : "2147483647";
  const std::string hardware = options.String("hwversion");
  const bool has_hardware = !hardware.empty() && hardware != "undefined";
  if (options.Bool("compat6") && has_hardware) {
    return Fail(Code::kInvalidArgument, "compat6 cannot be enabled with hwversion set");
  }
  plan.database.hardware_version = has_hardware ? hardware : options.Bool("compat6") ? "6" : "4";
  const std::string subformat = options.Has("subformat") ? options.String("subformat") : "monolithicSparse";
  TRY(CheckName(plan.database.adapter_type, kAdapters));
  TRY(CheckName(subformat, kSubformats));
  plan.database.heads = plan.database.adapter_type == "ide" ? 16 : 255;
  plan.split = subformat.starts_with("twoGb");
  plan.flat = subformat.ends_with("Flat");
  plan.stream = subformat == "streamOptimized";
  plan.zeroed_grains = options.Bool("zeroed_grain");
  plan.descriptor.cid = NewCid();
  plan.descriptor.create_type = subformat;
  if (plan.size_bytes / kSectorBytes > kMaxDirectoryEntries * kEntriesPerTable * kGrainSectors) {
    return Fail(Code::kInvalidArgument, "the size is too large for a VMDK image");
  }
  if (plan.split && (plan.size_bytes + kSplitBytes - 1) / kSplitBytes > kMaxExtents) {
    return Fail(Code::kInvalidArgument, "the size is too large for {} extents of 2 GiB", kMaxExtents);
  }
  const std::string parent = options.String("backing_file");
  if (parent.empty()) return plan;
  if (plan.flat) return Fail(Code::kInvalidArgument, "Flat image can't have backing file");
  if (plan.stream) return Fail(Code::kInvalidArgument, "a stream-optimized image cannot have a backing file");
  const auto base =
      TRY(OpenImage(ResolveName(filename, parent), options.String("backing_fmt"), {.no_backing = true}));
  const auto* vmdk = dynamic_cast<const VmdkImage*>(base.get());
  if (vmdk == nullptr) return Fail(Code::kInvalidArgument, "backing_file must be a vmdk image");
  plan.descriptor.parent_cid = vmdk->cid();
  plan.descriptor.parent_name = parent;
  return plan;
}

// Both directories, each with its grain tables behind it, all of them there from the start.
Status WriteSparse(Image* file, const Plan& plan, uint64_t size_bytes, std::string_view descriptor) {
  SparseHeader header{.version = plan.zeroed_grains ? 2u : 1u,
                      .flags = kNewlineTest | kRedundantTables | (plan.zeroed_grains ? kZeroedGrains : 0),
                      .capacity_sectors = size_bytes / kSectorBytes};
  constexpr uint64_t kTableSectors = kEntriesPerTable * 4 / kSectorBytes;
  const uint64_t tables = header.tables(),
                 directory_sectors = AlignUp(tables * 4, kSectorBytes) / kSectorBytes;
  header.redundant_directory_sector = kDescriptorSector + kDescriptorSectors;
  header.directory_sector = header.redundant_directory_sector + directory_sectors + tables * kTableSectors;
  header.overhead_sectors =
      AlignUp(header.directory_sector + directory_sectors + tables * kTableSectors, kGrainSectors);
  TRY(file->Resize(header.overhead_sectors * kSectorBytes, Preallocation::kOff));

  std::vector<uint8_t> directory(directory_sectors * kSectorBytes);
  for (const uint64_t at : {header.redundant_directory_sector, header.directory_sector}) {
    for (uint64_t i = 0; i < tables; ++i) {
      StoreLe<uint32_t>(&directory[i * 4], static_cast<uint32_t>(at + directory_sectors + i * kTableSectors));
    }
    if (const int error = Write(file, at * kSectorBytes, directory); error != 0) {
      return FailErrno(error, "Could not write the grain directory");
    }
  }
  const auto raw = EncodeSparseHeader(header);
  std::vector<uint8_t> head(raw.begin(), raw.end());
  head.resize((kDescriptorSector + kDescriptorSectors) * kSectorBytes);
  std::copy(descriptor.begin(), descriptor.end(), head.begin() + kSectorBytes);
  if (const int error = Write(file, 0, head); error != 0)
    return FailErrno(error, "Could not write the VMDK header");
  return Ok();
}

// "disk.vmdk" has extents disk-flat.vmdk, disk-f001.vmdk, disk-s001.vmdk.
std::string ExtentName(const std::string& filename, const Plan& plan, uint64_t index) {
  const size_t slash = filename.rfind('/'), dot = filename.rfind('.');
  const bool has_dot = dot != filename.npos && (slash == filename.npos || dot > slash);
  const std::string stem = has_dot ? filename.substr(0, dot) : filename;
  const std::string end = has_dot ? filename.substr(dot) : "";
  if (!plan.split) return stem + "-flat" + end;
  return fmt::format("{}-{}{:03}{}", stem, plan.flat ? 'f' : 's', index + 1, end);
}

Status WriteExtents(const std::string& filename, Plan* plan) {
  uint64_t left = plan->size_bytes;
  for (uint64_t index = 0; left != 0; ++index) {
    const uint64_t size = plan->split ? std::min(left, kSplitBytes) : left;
    const std::string name = ExtentName(filename, *plan, index);
    const auto file = TRY(CreateFileFor(name, plan->flat ? size : 0));
    if (!plan->flat) TRY(WriteSparse(file.get(), *plan, size, {}));
    plan->descriptor.extents.push_back({.sectors = size / kSectorBytes,
                                        .type = plan->flat ? "FLAT" : "SPARSE",
                                        .filename = name.substr(name.rfind('/') + 1)});
    left -= size;
  }
  return Ok();
}

Status Create(const std::string& filename, const CreateOptions& options) {
  Plan plan = TRY(PlanOf(filename, options));
  const uint64_t sectors = plan.size_bytes / kSectorBytes;
  if (plan.flat || plan.split) {
    TRY(WriteExtents(filename, &plan));
    const std::string text = WriteDescriptor(plan.descriptor, plan.database, sectors);
    const auto file = TRY(CreateFileFor(filename, 0));
    const int error = Write(file.get(), 0, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
    return error == 0 ? Ok() : FailErrno(error, "Could not write description");
  }
  plan.descriptor.extents.push_back(
      {.sectors = sectors, .type = "SPARSE", .filename = filename.substr(filename.rfind('/') + 1)});
  const std::string text = WriteDescriptor(plan.descriptor, plan.database, sectors);
  if (text.size() > kDescriptorSectors * kSectorBytes) {
    return Fail(Code::kInvalidArgument, "the names are too long for the image's descriptor");
  }
  const auto file = TRY(CreateFileFor(filename, 0));
  if (plan.stream) return WriteEmptyStream(file.get(), StreamHeader(sectors), text);
  return WriteSparse(file.get(), plan, plan.size_bytes, text);
}

}  // namespace
}  // namespace berth::block::vmdk

namespace berth::block {

const Format kVmdkFormat{.name = "vmdk",
                         .probe =
                             [](std::span<const uint8_t> head, std::string_view) {
                               if (head.size() < 4) return 0;
                               const auto magic = LoadLe<uint32_t>(&head[0]);
                               if (magic == vmdk::kMagic || magic == vmdk::kCowdMagic) return 100;
                               const std::string_view text(reinterpret_cast<const char*>(head.data()),
                                                           head.size());
                               return vmdk::LooksLikeDescriptor(text) ? 100 : 0;
                             },
                         .open = vmdk::Open,
                         .create_options = vmdk::kCreateOptions,
                         .create = vmdk::Create,
                         .compresses = true};

}  // namespace berth::block

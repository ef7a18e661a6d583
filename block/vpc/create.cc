// Making VHDs.
#include <algorithm>
#include <ctime>

#include "block/guid.h"
#include "block/new_file.h"
#include "block/vpc/image.h"

namespace berth::block::vpc {
namespace {

using Type = CreateOption::Type;

constexpr uint64_t kBlockBytes = 2 << 20;
constexpr uint64_t kTableOffset = kFooterBytes + kHeaderBytes;
constexpr int64_t kEpoch2000 = 946684800;  // What time is counted from, in seconds of Unix's.

constexpr CreateOption kCreateOptions[] = {
    {"size", Type::kSize, "Virtual disk size"},
    {"subformat", Type::kString,
     "Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} "},
    {"force_size", Type::kBool,
     "Force disk size calculation to use the actual size specified, rather than using the nearest CHS-based "
     "calculation"},
};

void Put(std::span<uint8_t> bytes, size_t at, std::string_view text) {
  std::copy(text.begin(), text.end(), bytes.begin() + static_cast<ptrdiff_t>(at));
}

Footer MakeFooter(uint64_t size, const Geometry& geometry, bool fixed, bool sized) {
  Footer footer{};
  Put(footer, 0, "conectix");
  StoreBe<uint32_t>(&footer[8], 2);  // Reserved, always set.
  StoreBe<uint32_t>(&footer[12], 0x00010000);
  StoreBe<uint64_t>(&footer[16], fixed ? UINT64_MAX : kFooterBytes);
  StoreBe<uint32_t>(&footer[24], static_cast<uint32_t>(std::time(nullptr) - kEpoch2000));
  // Readers take the size from the geometry or from the number of bytes, depending on who made the image.
  Put(footer, 28, sized ? "qem2" : "qemu");
  StoreBe<uint32_t>(&footer[32], 0x00050003);
  Put(footer, 36, "Wi2k");
  StoreBe<uint64_t>(&footer[40], size);
  StoreBe<uint64_t>(&footer[48], size);
  StoreBe<uint16_t>(&footer[56], geometry.cylinders);
  footer[58] = geometry.heads;
  footer[59] = geometry.sectors_per_track;
  StoreBe<uint32_t>(&footer[60], fixed ? kFixed : kDynamic);
  const Guid guid = RandomGuid();
  std::copy(guid.begin(), guid.end(), footer.begin() + 68);
  StoreBe<uint32_t>(&footer[64], Checksum(footer, 64));
  return footer;
}

// Footer, header, table, footer.
std::vector<uint8_t> MakeDynamic(const Footer& footer, uint64_t size) {
  const auto entries = static_cast<uint32_t>((size + kBlockBytes - 1) / kBlockBytes);
  std::vector<uint8_t> bytes(kTableOffset + AlignUp(entries * uint64_t{4}, kSectorBytes), 0xff);
  const std::span<uint8_t> header(&bytes[kFooterBytes], kHeaderBytes);
  std::fill(header.begin(), header.end(), 0);
  Put(header, 0, "cxsparse");
  StoreBe<uint64_t>(&header[8], UINT64_MAX);
  StoreBe<uint64_t>(&header[16], kTableOffset);
  StoreBe<uint32_t>(&header[24], 0x00010000);
  StoreBe<uint32_t>(&header[28], entries);
  StoreBe<uint32_t>(&header[32], kBlockBytes);
  StoreBe<uint32_t>(&header[36], Checksum(header, 36));
  std::copy(footer.begin(), footer.end(), bytes.begin());
  bytes.insert(bytes.end(), footer.begin(), footer.end());
  return bytes;
}

Result<std::unique_ptr<FormatImage>> Open(OpenContext* context) {
  auto image = std::make_unique<VpcImage>(std::move(context->file), context->flags.writable);
  TRY(image->Load());
  return image;
}

Status Create(const std::string& filename, const CreateOptions& options) {
  const std::string subformat = options.String("subformat");
  const bool fixed = subformat == "fixed", sized = options.Bool("force_size");
  if (!fixed && subformat != "dynamic" && !subformat.empty()) {
    return Fail(Code::kInvalidArgument, "Parameter 'subformat' does not accept value '{}'", subformat);
  }
  uint64_t sectors = AlignUp(options.Number("size"), kSectorBytes) / kSectorBytes;
  Geometry geometry{kMaxCylinders, kMaxHeads, kMaxSectorsPerTrack};
  if (!sized) geometry = GeometryFor(sectors);
  if (geometry.sectors() == kMaxGeometrySectors) {
    if (sectors > kMaxSectors) {
      return Fail(Code::kOutOfRange, "The image size is too large for file format 'vpc'");
    }
  } else {
    sectors = geometry.sectors();
  }
  const uint64_t size = sectors * kSectorBytes;
  const Footer footer = MakeFooter(size, geometry, fixed, sized);
  const auto file = TRY(CreateFileFor(filename, fixed ? size : 0));
  const std::vector<uint8_t> bytes =
      fixed ? std::vector<uint8_t>(footer.begin(), footer.end()) : MakeDynamic(footer, size);
  const int error = Write(file.get(), fixed ? size : 0, bytes);
  return error == 0 ? Ok() : FailErrno(error, "Could not write the VHD's tables");
}

}  // namespace
}  // namespace berth::block::vpc

namespace berth::block {

const Format kVpcFormat{
    .name = "vpc",
    .probe =
        [](std::span<const uint8_t> head, std::string_view) {
          constexpr std::string_view kCookie = "conectix";
          return head.size() >= 8 && std::equal(kCookie.begin(), kCookie.end(), head.begin()) ? 100 : 0;
        },
    .open = vpc::Open,
    .create_options = vpc::kCreateOptions,
    .create = vpc::Create};

}  // namespace berth::block

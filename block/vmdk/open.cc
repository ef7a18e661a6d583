// Opening VMware disks.
#include "block/open.h"

#include <algorithm>

#include "block/vmdk/image.h"

namespace berth::block::vmdk {
namespace {

constexpr std::string_view kCreateTypes[] = {"monolithicFlat", "vmfs", "vmfsSparse", "twoGbMaxExtentSparse",
                                             "twoGbMaxExtentFlat"};

Result<std::string> ReadText(Image* file, uint64_t offset, uint64_t length) {
  std::string text(length, '\0');
  if (const int error = Read(file, offset, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
      error != 0) {
    return FailErrno(error, "Could not read the descriptor");
  }
  return text;
}

}  // namespace

Status VmdkImage::Load(OpenContext* context) {
  uint8_t magic[4] = {};
  if (file()->size_bytes() < sizeof(magic)) {
    return Fail(Code::kInvalidArgument, "File is too small, not a valid image");
  }
  if (const int error = Read(file(), 0, magic); error != 0)
    return FailErrno(error, "Could not read the image");
  const auto first = LoadLe<uint32_t>(magic);
  if (first == kMagic || first == kCowdMagic) {
    TRY(LoadSparse(context));
  } else {
    TRY(LoadDescriptor(context, 0, std::min(file()->size_bytes(), kMaxDescriptorBytes)));
  }
  cid_ = descriptor_.cid;
  return Ok();
}

Status VmdkImage::LoadSparse(OpenContext* context) {
  const SparseHeader header = TRY(ReadSparseHeader(file()));
  if (header.capacity_sectors == 0) {
    const uint64_t size = file()->size_bytes();
    const Range all{0, size / kSectorBytes};
    const uint64_t sectors = std::min(header.descriptor_sectors, kMaxDescriptorBytes / kSectorBytes);
    if (!all.Contains(header.descriptor_sector, sectors)) {
      return Fail(Code::kInvalidArgument, "File truncated, its descriptor is missing");
    }
    return LoadDescriptor(context, header.descriptor_sector * kSectorBytes, sectors * kSectorBytes);
  }
  if (!header.is_cowd) {
    // At a fixed place, whatever the header says: that is where everybody looks.
    descriptor_offset_ = kDescriptorSector * kSectorBytes;
    const std::string text = TRY(ReadText(file(), descriptor_offset_, kDescriptorSectors * kSectorBytes));
    descriptor_ = TRY(ParseDescriptor(text, false));
  }
  if (descriptor_.create_type.empty()) descriptor_.create_type = "monolithicSparse";
  return AddSparse({.size = header.capacity_sectors * kSectorBytes}, header, context->flags);
}

Status VmdkImage::LoadDescriptor(OpenContext* context, uint64_t offset, uint64_t length) {
  const std::string text = TRY(ReadText(file(), offset, length));
  descriptor_offset_ = offset;
  descriptor_ = TRY(ParseDescriptor(text, false));
  if (descriptor_.create_type.empty()) return Fail(Code::kInvalidArgument, "invalid VMDK image descriptor");
  if (std::find(std::begin(kCreateTypes), std::end(kCreateTypes), descriptor_.create_type) ==
      std::end(kCreateTypes)) {
    return Fail(Code::kUnimplemented, "Unsupported image type '{}'", descriptor_.create_type);
  }
  descriptor_ = TRY(ParseDescriptor(text, true));
  for (const ExtentLine& line : descriptor_.extents) TRY(AddExtent(line, context));
  if (parts_.empty()) return Fail(Code::kInvalidArgument, "the descriptor names no extents");
  return Ok();
}

Status VmdkImage::AddExtent(const ExtentLine& line, OpenContext* context) {
  const bool flat = line.type == "FLAT" || line.type == "VMFS";
  if (!flat && line.type != "SPARSE" && line.type != "VMFSSPARSE") {
    return Fail(Code::kUnimplemented, "Unsupported extent type '{}'", line.type);
  }
  if (context->gate == nullptr) return Fail(Code::kPermissionDenied, "extents may not be opened");
  OpenFlags flags = context->flags;
  flags.check = false;
  Part part{.start = size_, .size = line.sectors * kSectorBytes, .type = line.type};
  // Extents are bytes, whatever they look like: a file that says of itself what it is could name any other.
  part.file =
      TRY(Context(context->gate->Open(line.filename, OpenGate::kBytes, flags), "Could not open extent"));
  if (flat) {
    part.flat_offset = line.offset_sectors * kSectorBytes;
    if (part.size > INT64_MAX - size_) return Fail(Code::kInvalidArgument, "the extents are too large");
    size_ += part.size;
    parts_.push_back(std::move(part));
    return Ok();
  }
  const SparseHeader header = TRY(ReadSparseHeader(part.file.get()));
  if (header.capacity_sectors == 0)
    return Fail(Code::kInvalidArgument, "extent '{}' is empty", line.filename);
  return AddSparse(std::move(part), header, flags);
}

Status VmdkImage::AddSparse(Part part, const SparseHeader& header, const OpenFlags& flags) {
  Image* const at = part.file ? part.file.get() : file();
  if (part.size > INT64_MAX - size_) return Fail(Code::kInvalidArgument, "the extents are too large");
  part.sparse = std::make_unique<SparseExtent>(at, this, size_, header, part.size, flags.writable);
  if (header.compressed() && flags.writable && !flags.no_io) {
    // Only a stream without grains can be written.
    for (uint64_t block = 0; block < part.sparse->blocks();) {
      BlockPlace place;
      if (part.sparse->PlaceOf(block, &place) != 0 || place.kind != BlockPlace::Kind::kAbsent) {
        return Fail(Code::kFailedPrecondition, "VMDK version {} must be read only", header.version);
      }
      block += place.run;
    }
    auto stream = std::make_unique<StreamExtent>(at, header, part.size);
    part.stream = stream.get();
    part.sparse = std::move(stream);
  }
  part.start = size_;
  size_ += part.size;
  parts_.push_back(std::move(part));
  return Ok();
}

Result<std::unique_ptr<FormatImage>> Open(OpenContext* context) {
  auto image = std::make_unique<VmdkImage>(std::move(context->file), context->flags.writable);
  TRY(image->Load(context));
  return image;
}

}  // namespace berth::block::vmdk

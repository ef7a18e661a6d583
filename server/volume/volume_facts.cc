#include "server/volume/volume_facts.h"

#include <fcntl.h>

#include "base/bytes.h"
#include "block/file_image.h"
#include "block/qcow2/header.h"

namespace berth::server {
namespace {

constexpr uint64_t kSectorBytes = 512;

Error AboutVolume(const PoolDirectory& directory, const VolumeFile& file, Code code, const char* reason,
                  std::string message) {
  return Error(code, std::move(message))
      .Reason(reason)
      .With("resource", directory.NameOf(file.id))
      .With("path", directory.PathOf(file));
}

Status CheckBase(const PoolDirectory& directory, const VolumeFile& file, const block::qcow2::Header& says) {
  std::string base, format;
  if (!file.base.empty()) {
    const VolumeFile found = TRY(FindBase(directory, file));
    base = found.ToString();
    format = found.format;
  }
  if (says.backing_file == base && says.backing_format == format) return Ok();
  return Fail(AboutVolume(
      directory, file, Code::kPermissionDenied, "IMAGE_NAMES_OTHER_FILE",
      fmt::format(
          "{}: the image says that it stands on '{}' ({}), its file's name that it stands on '{}' ({})",
          directory.PathOf(file), says.backing_file, says.backing_format, base, format)));
}

}  // namespace

Result<VolumeFile> FindBase(const PoolDirectory& directory, const VolumeFile& file) {
  auto base = directory.Find(file.base);
  if (base) return base;
  return Fail(AboutVolume(
      directory, file, Code::kFailedPrecondition, "BASE_NOT_FOUND",
      fmt::format("{} stands on another volume, but {}", directory.NameOf(file.id), base.error().message())));
}

Result<VolumeFacts> LookAt(const PoolDirectory& directory, const VolumeFile& file) {
  const UniqueFd fd = TRY(directory.OpenVolume(file, O_RDONLY));
  return Examine(directory, file, fd.get());
}

Result<VolumeFacts> Examine(const PoolDirectory& directory, const VolumeFile& file, int fd) {
  const auto image = TRY(block::CreateFileImage(TRY(Duplicate(fd)), {.read_only = true}));
  VolumeFacts facts{.size_bytes = AlignUp(image->size_bytes(), kSectorBytes),
                    .allocated_bytes = image->AllocatedBytes().value_or(0)};
  if (file.format == "raw") return facts;
  const auto header = block::qcow2::ReadHeader(image.get());
  if (!header || header->size_bytes > kMaxVolumeBytes) {
    return Fail(AboutVolume(directory, file, Code::kInvalidArgument, "IMAGE_MALFORMED",
                            fmt::format("{}: {}", directory.PathOf(file),
                                        header ? "the disk is too large" : header.error().message())));
  }
  TRY(CheckBase(directory, file, *header));
  if (header->has_data_file()) {
    return Fail(AboutVolume(directory, file, Code::kPermissionDenied, "IMAGE_NAMES_OTHER_FILE",
                            fmt::format("{} has its data in a file of its own", directory.PathOf(file))));
  }
  facts.size_bytes = header->size_bytes;
  return facts;
}

}  // namespace berth::server

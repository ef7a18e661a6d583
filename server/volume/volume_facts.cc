#include "server/volume/volume_facts.h"

#include <fcntl.h>

#include "base/bytes.h"
#include "block/file_image.h"
#include "block/qcow2/header.h"

namespace berth::server {
namespace {

constexpr uint64_t kSectorBytes = 512;

Error AboutVolume(const VolumePool& directory, const VolumeFile& file, Code code, const char* reason,
                  std::string message) {
  return Error(code, std::move(message))
      .Reason(reason)
      .With("resource", directory.NameOf(file.id))
      .With("path", directory.PathOf(file));
}

// A sum that stays within what the API can say.
int64_t AddBytes(int64_t sum, uint64_t more) {
  return more > static_cast<uint64_t>(INT64_MAX - sum) ? INT64_MAX : sum + static_cast<int64_t>(more);
}

Status CheckBase(const VolumePool& directory, const VolumeFile& file, const block::qcow2::Header& says,
                 const std::vector<VolumeFile>& among) {
  std::string base, format;
  if (!file.base.empty()) {
    const VolumeFile found = TRY(FindBase(directory, file, among));
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

Result<VolumeFile> FindBase(const VolumePool& directory, const VolumeFile& file,
                            const std::vector<VolumeFile>& among) {
  auto base = directory.Find(file.base, among);
  if (base) return base;
  return Fail(AboutVolume(
      directory, file, Code::kFailedPrecondition, "BASE_NOT_FOUND",
      fmt::format("{} stands on another volume, but {}", directory.NameOf(file.id), base.error().message())));
}

Result<bool> HasBacking(const VolumePool& directory, const VolumeFile& file) {
  const auto image =
      TRY(block::CreateFileImage(TRY(directory.OpenVolume(file, O_RDONLY)), {.read_only = true}));
  const auto header = block::qcow2::ReadHeader(image.get());
  if (header) return !header->backing_file.empty();
  return Fail(AboutVolume(directory, file, Code::kInvalidArgument, "IMAGE_MALFORMED",
                          fmt::format("{}: {}", directory.PathOf(file), header.error().message())));
}

Result<VolumeFacts> LookAt(const VolumePool& directory, const VolumeFile& file,
                           const std::vector<VolumeFile>& among) {
  if (file.facts) return *file.facts;
  const UniqueFd fd = TRY(directory.OpenVolume(file, O_RDONLY));
  return Examine(directory, file, fd.get(), among);
}

Result<VolumeFacts> Examine(const VolumePool& directory, const VolumeFile& file, int fd,
                            const std::vector<VolumeFile>& among) {
  if (file.facts) return *file.facts;
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
  TRY(CheckBase(directory, file, *header, among));
  if (header->has_data_file()) {
    return Fail(AboutVolume(directory, file, Code::kPermissionDenied, "IMAGE_NAMES_OTHER_FILE",
                            fmt::format("{} has its data in a file of its own", directory.PathOf(file))));
  }
  facts.size_bytes = header->size_bytes;
  return facts;
}

Result<PoolFacts> MeasurePool(const VolumePool& directory) {
  const PoolSpace space = TRY(directory.Space());
  PoolFacts pool{.capacity_bytes = space.capacity_bytes,
                 .available_bytes = space.available_bytes,
                 .metadata_percent = space.metadata_percent};
  const std::vector<VolumeFile> files = TRY(directory.List());
  for (const VolumeFile& file : files) {
    ++pool.volume_count;
    const auto facts = LookAt(directory, file, files);
    if (!facts) continue;
    pool.allocated_bytes = AddBytes(pool.allocated_bytes, facts->allocated_bytes);
    pool.promised_bytes = AddBytes(pool.promised_bytes, facts->size_bytes);
  }
  pool.allocated_bytes = space.allocated_bytes.value_or(pool.allocated_bytes);
  return pool;
}

}  // namespace berth::server

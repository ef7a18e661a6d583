#include "server/volume/volume_request.h"

#include <algorithm>

#include "base/bytes.h"
#include "server/guest/field_error.h"
#include "server/volume/volume_facts.h"

namespace berth::server {
namespace {

constexpr uint64_t kSectorBytes = 512;

}  // namespace

Result<std::string> PoolOf(const std::string& parent) {
  const auto pool = ParsePoolName(parent);
  if (!pool) return BadPath("parent", "\"{}\" is no pool's name, pools/POOL", parent);
  return *pool;
}

Result<VolumeName> ParseVolumeName(const std::string& name, const std::string& field) {
  auto parsed = VolumeName::Parse(name);
  if (!parsed) return BadPath(field, "\"{}\" is no volume's name, pools/POOL/volumes/VOLUME", name);
  return *std::move(parsed);
}

Status CheckNewId(const std::string& field, const std::string& id) {
  if (IsResourceId(id)) return Ok();
  return BadPath(field, "\"{}\" is not 1 to 63 of a-z, 0-9 and '-', a letter first, no '-' last", id);
}

Status CheckVolumeSize(const std::string& field, int64_t size_bytes) {
  if (size_bytes > 0 && size_bytes % int64_t{kSectorBytes} == 0 &&
      static_cast<uint64_t>(size_bytes) <= kMaxVolumeBytes)
    return Ok();
  return BadPath(field, "{} is no multiple of {} up to {}", size_bytes, kSectorBytes, kMaxVolumeBytes);
}

Result<std::string> CheckFormat(const std::string& field, v1::Volume::Format format, const VolumePool& pool) {
  if (!v1::Volume::Format_IsValid(format)) return BadPath(field, "unknown value {}", int{format});
  const bool devices = pool.devices() != nullptr;
  if (devices && format == v1::Volume::QCOW2)
    return BadPath(field, "the volumes of {} are devices, and RAW", PoolName(pool.pool()));
  return format == v1::Volume::RAW || devices ? "raw" : "qcow2";
}

v1::Volume::Format FormatOf(const VolumeFile& file) {
  return file.format == "raw" ? v1::Volume::RAW : v1::Volume::QCOW2;
}

Result<uint64_t> RateOf(int64_t bytes_per_second) {
  if (bytes_per_second < 0) return BadPath("bytes_per_second", "{} is less than 0", bytes_per_second);
  return static_cast<uint64_t>(bytes_per_second);
}

Result<uint64_t> SizeOfCopy(uint64_t content_bytes, int64_t asked_bytes) {
  // What is so large that it is none afterwards is refused by the check.
  const auto least_bytes =
      static_cast<int64_t>(std::min(AlignUp(content_bytes, kSectorBytes), kMaxVolumeBytes + 1));
  const int64_t size = asked_bytes == 0 ? least_bytes : asked_bytes;
  TRY(CheckVolumeSize("size_bytes", size));
  if (size < least_bytes) return BadPath("size_bytes", "{} is less than the content's {}", size, least_bytes);
  return static_cast<uint64_t>(size);
}

}  // namespace berth::server

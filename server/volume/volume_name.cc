#include "server/volume/volume_name.h"

#include <fmt/format.h>

#include "proto/volume_name.h"

namespace berth::server {
namespace {

constexpr size_t kMaxIdBytes = 63;

bool IsLetter(char c) { return c >= 'a' && c <= 'z'; }

}  // namespace

bool IsResourceId(std::string_view id) {
  if (id.empty() || id.size() > kMaxIdBytes || !IsLetter(id[0]) || id.back() == '-') return false;
  for (char c : id) {
    if (!IsLetter(c) && !(c >= '0' && c <= '9') && c != '-') return false;
  }
  return true;
}

std::string PoolName(std::string_view pool) { return fmt::format("{}{}", kPoolsCollection, pool); }

std::optional<std::string> ParsePoolName(std::string_view name) {
  if (!name.starts_with(kPoolsCollection) || !IsResourceId(name.substr(kPoolsCollection.size())))
    return std::nullopt;
  return std::string(name.substr(kPoolsCollection.size()));
}

std::optional<VolumeName> VolumeName::Parse(std::string_view name) {
  const size_t middle = name.find(kVolumesCollection);
  if (middle == name.npos) return std::nullopt;
  const auto pool = ParsePoolName(name.substr(0, middle));
  const std::string_view id = name.substr(middle + kVolumesCollection.size());
  if (!pool || !IsResourceId(id)) return std::nullopt;
  return VolumeName{.pool = *pool, .id = std::string(id)};
}

std::string VolumeName::ToString() const {
  return fmt::format("{}{}{}{}", kPoolsCollection, pool, kVolumesCollection, id);
}

std::optional<VolumeFile> VolumeFile::Parse(std::string_view file_name) {
  const size_t dot = file_name.find('.');
  if (dot == file_name.npos) return std::nullopt;
  const std::string_view stem = file_name.substr(0, dot), format = file_name.substr(dot + 1);
  const size_t at = stem.find('@');
  const bool has_base = at != stem.npos;
  const std::string_view id = stem.substr(0, at), base = has_base ? stem.substr(at + 1) : "";
  if (!IsResourceId(id) || (has_base && !IsResourceId(base))) return std::nullopt;
  if (format != "qcow2" && (format != "raw" || has_base)) return std::nullopt;
  return VolumeFile{.id = std::string(id), .base = std::string(base), .format = std::string(format)};
}

std::string VolumeFile::ToString() const {
  return base.empty() ? fmt::format("{}.{}", id, format) : fmt::format("{}@{}.{}", id, base, format);
}

}  // namespace berth::server

#include "server/volume/volume_pool.h"

#include <algorithm>

namespace berth::server {

std::string VolumePool::NameOf(std::string_view volume) const {
  return VolumeName{.pool = id_, .id = std::string(volume)}.ToString();
}

Result<VolumeFile> VolumePool::Find(std::string_view volume) const { return Find(volume, TRY(List())); }

Result<VolumeFile> VolumePool::Find(std::string_view volume, const std::vector<VolumeFile>& among) const {
  const auto first =
      std::lower_bound(among.begin(), among.end(), volume,
                       [](const VolumeFile& file, std::string_view id) { return file.id < id; });
  if (first == among.end() || first->id != volume) {
    return Fail(Error(Code::kNotFound, fmt::format("there is no volume {}", NameOf(volume)))
                    .Reason("VOLUME_NOT_FOUND")
                    .With("resource", NameOf(volume)));
  }
  const auto second = first + 1;
  if (second == among.end() || second->id != volume) return *first;
  return Fail(Error(Code::kFailedPrecondition,
                    fmt::format("both {} and {} would be {}: one of them is to be moved away", PathOf(*first),
                                PathOf(*second), NameOf(volume)))
                  .Reason("VOLUME_AMBIGUOUS")
                  .With("resource", NameOf(volume)));
}

Result<std::vector<std::string>> VolumePool::DependentsOf(std::string_view volume) const {
  std::vector<std::string> dependents;
  if (devices() != nullptr) return dependents;
  for (VolumeFile& file : TRY(List())) {
    if (file.base == volume) dependents.push_back(std::move(file.id));
  }
  return dependents;
}

Status VolumePool::Rename(const VolumeFile& from, const VolumeFile&) const {
  return Fail(Code::kUnimplemented, "{} cannot stand on anything else", PathOf(from));
}

Error VolumeExists(const std::string& name) {
  return Error(Code::kAlreadyExists, fmt::format("there is a volume {} already", name))
      .Reason("VOLUME_EXISTS")
      .With("resource", name);
}

Error VolumeBeingMade(const std::string& name) {
  return Error(Code::kAborted, fmt::format("{} is being made already", name))
      .Reason("VOLUME_BUSY")
      .With("resource", name);
}

Error AboutPool(const PoolSettings& pool, Code code, const char* reason, std::string message) {
  return Error(code, std::move(message))
      .Reason(reason)
      .With("resource", PoolName(pool.id))
      .With("path", pool.Place());
}

}  // namespace berth::server

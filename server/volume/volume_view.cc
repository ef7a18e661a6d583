#include "server/volume/volume_view.h"

#include <string_view>

#include "proto/error_details.h"
#include "server/volume/pools.h"
#include "server/volume/volume_facts.h"
#include "server/volume/volume_request.h"

namespace berth::server {
namespace {

// Volumes by what they stand on.
using Dependents = std::multimap<std::string_view, const VolumeFile*>;

Dependents DependentsAmong(const std::vector<VolumeFile>& files) {
  Dependents dependents;
  for (const VolumeFile& file : files) {
    if (!file.base.empty()) dependents.emplace(file.base, &file);
  }
  return dependents;
}

v1::Volume Show(const VolumePool& directory, const VolumeFile& file, const std::vector<VolumeFile>& among,
                const Dependents& dependents, const VolumeUsers& users) {
  v1::Volume volume;
  volume.set_name(directory.NameOf(file.id));
  volume.set_format(FormatOf(file));
  if (!file.base.empty()) volume.set_base(directory.NameOf(file.base));
  for (auto [other, end] = dependents.equal_range(file.id); other != end; ++other)
    volume.add_dependents(directory.NameOf(other->second->id));
  for (auto [user, end] = users.equal_range(volume.name()); user != end; ++user)
    volume.add_guests(user->second.guest);
  if (const auto facts = LookAt(directory, file, among); facts) {
    volume.set_size_bytes(static_cast<int64_t>(facts->size_bytes));
    volume.set_allocated_bytes(static_cast<int64_t>(facts->allocated_bytes));
  } else {
    *volume.mutable_error() = ToRpcStatus(facts.error());
  }
  return volume;
}

Status FillPool(const PoolSettings& settings, v1::Pool* pool) {
  const PoolFacts facts = TRY(MeasurePool(*TRY(OpenVolumePool(settings))));
  pool->set_capacity_bytes(facts.capacity_bytes);
  pool->set_available_bytes(facts.available_bytes);
  pool->set_allocated_bytes(facts.allocated_bytes);
  pool->set_promised_bytes(facts.promised_bytes);
  pool->set_volume_count(facts.volume_count);
  if (settings.lvm_thin) pool->mutable_lvm_thin()->set_metadata_percent(facts.metadata_percent);
  return Ok();
}

}  // namespace

Result<std::vector<v1::Volume>> ShowVolumes(const VolumePool& directory, const VolumeUsers& users) {
  const std::vector<VolumeFile> files = TRY(directory.List());
  const Dependents dependents = DependentsAmong(files);
  std::vector<v1::Volume> volumes;
  for (const VolumeFile& file : files) {
    const bool again = !volumes.empty() && volumes.back().name() == directory.NameOf(file.id);
    if (!again) {
      volumes.push_back(Show(directory, file, files, dependents, users));
    } else if (const auto found = directory.Find(file.id, files); !found) {
      *volumes.back().mutable_error() = ToRpcStatus(found.error());
    }
  }
  return volumes;
}

Result<v1::Volume> ShowVolume(const VolumePool& directory, const std::string& id, const VolumeUsers& users) {
  const std::vector<VolumeFile> files = TRY(directory.List());
  return Show(directory, TRY(directory.Find(id, files)), files, DependentsAmong(files), users);
}

v1::Pool ShowPool(const PoolSettings& settings) {
  v1::Pool pool;
  pool.set_name(PoolName(settings.id));
  pool.set_directory(settings.directory);
  if (settings.lvm_thin) {
    pool.mutable_lvm_thin()->set_volume_group(settings.lvm_thin->volume_group);
    pool.mutable_lvm_thin()->set_thin_pool(settings.lvm_thin->thin_pool);
  }
  pool.set_overcommit_ratio(settings.overcommit_ratio);
  if (const Status filled = FillPool(settings, &pool); !filled)
    *pool.mutable_error() = ToRpcStatus(filled.error());
  return pool;
}

}  // namespace berth::server

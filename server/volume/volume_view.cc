#include "server/volume/volume_view.h"

#include <sys/statvfs.h>

#include <cerrno>

#include "proto/error_details.h"
#include "server/volume/volume_facts.h"

namespace berth::server {
namespace {

// A sum that stays within what the API can say.
int64_t AddBytes(int64_t sum, int64_t more) { return more > INT64_MAX - sum ? INT64_MAX : sum + more; }

v1::Volume Show(const PoolDirectory& directory, const VolumeFile& file, const std::vector<VolumeFile>& all,
                const VolumeUsers& users) {
  v1::Volume volume;
  volume.set_name(directory.NameOf(file.id));
  volume.set_format(file.format == "raw" ? v1::Volume::RAW : v1::Volume::QCOW2);
  if (!file.base.empty()) volume.set_base(directory.NameOf(file.base));
  for (const VolumeFile& other : all) {
    if (other.base == file.id) volume.add_dependents(directory.NameOf(other.id));
  }
  for (auto [user, end] = users.equal_range(volume.name()); user != end; ++user)
    volume.add_guests(user->second);
  if (const auto facts = LookAt(directory, file); facts) {
    volume.set_size_bytes(static_cast<int64_t>(facts->size_bytes));
    volume.set_allocated_bytes(static_cast<int64_t>(facts->allocated_bytes));
  } else {
    *volume.mutable_error() = ToRpcStatus(facts.error());
  }
  return volume;
}

Status FillPool(const PoolSettings& settings, v1::Pool* pool) {
  const PoolDirectory directory = TRY(PoolDirectory::Open(settings));
  struct statvfs space {};
  if (::fstatvfs(directory.fd(), &space) != 0)
    return FailErrno(errno, "ask how large {} is", settings.directory);
  pool->set_capacity_bytes(static_cast<int64_t>(space.f_blocks * space.f_frsize));
  pool->set_available_bytes(static_cast<int64_t>(space.f_bavail * space.f_frsize));
  for (const VolumeFile& file : TRY(directory.List())) {
    pool->set_volume_count(pool->volume_count() + 1);
    const auto facts = LookAt(directory, file);
    if (!facts) continue;
    pool->set_allocated_bytes(
        AddBytes(pool->allocated_bytes(), static_cast<int64_t>(facts->allocated_bytes)));
    pool->set_promised_bytes(AddBytes(pool->promised_bytes(), static_cast<int64_t>(facts->size_bytes)));
  }
  return Ok();
}

}  // namespace

VolumeUsers UsersOfVolumes(GuestBook& book) {
  VolumeUsers users;
  for (const GuestPtr& entry : book.All()) {
    const v1::Guest guest = entry->Get();
    for (const v1::DiskSpec& disk : guest.spec().disks()) {
      if (!disk.volume().empty()) users.emplace(disk.volume(), guest.name());
    }
  }
  return users;
}

Result<std::vector<v1::Volume>> ShowVolumes(const PoolDirectory& directory, const VolumeUsers& users) {
  const std::vector<VolumeFile> files = TRY(directory.List());
  std::vector<v1::Volume> volumes;
  for (const VolumeFile& file : files) {
    const bool again = !volumes.empty() && volumes.back().name() == directory.NameOf(file.id);
    if (!again) {
      volumes.push_back(Show(directory, file, files, users));
    } else if (const auto found = directory.Find(file.id); !found) {
      *volumes.back().mutable_error() = ToRpcStatus(found.error());
    }
  }
  return volumes;
}

Result<v1::Volume> ShowVolume(const PoolDirectory& directory, const std::string& id,
                              const VolumeUsers& users) {
  return Show(directory, TRY(directory.Find(id)), TRY(directory.List()), users);
}

v1::Pool ShowPool(const PoolSettings& settings) {
  v1::Pool pool;
  pool.set_name(PoolName(settings.id));
  pool.set_directory(settings.directory);
  pool.set_overcommit_ratio(settings.overcommit_ratio);
  if (const Status filled = FillPool(settings, &pool); !filled)
    *pool.mutable_error() = ToRpcStatus(filled.error());
  return pool;
}

}  // namespace berth::server

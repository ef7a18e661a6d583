#include "server/volume/volume_verbs.h"

#include <fmt/ranges.h>

#include "base/log.h"
#include "server/guest/field_error.h"
#include "server/volume/pools.h"
#include "server/volume/volume_view.h"

namespace berth::server {

void VolumeVerbs::CleanUp() {
  for (const PoolSettings& pool : engine_.settings.pools) {
    if (const auto directory = OpenVolumePool(pool); directory) {
      (*directory)->CleanUp();
    } else {
      LOG_WARNING("{}", directory.error().ToString());
    }
  }
}

std::vector<v1::Pool> VolumeVerbs::Pools() const {
  std::vector<v1::Pool> pools;
  for (const PoolSettings& pool : engine_.settings.pools) pools.push_back(ShowPool(pool));
  return pools;
}

Result<v1::Pool> VolumeVerbs::GetPool(const std::string& name) const {
  const auto id = ParsePoolName(name);
  if (!id) return BadPath("name", "\"{}\" is no pool's name, pools/POOL", name);
  const PoolSettings settings = FindPool(engine_.settings.pools, *id);
  if (!settings.IsConfigured()) return Fail(OpenVolumePool(settings).error());
  return ShowPool(settings);
}

Result<VolumePoolPtr> VolumeVerbs::OpenPool(const std::string& id) const {
  return OpenVolumePool(FindPool(engine_.settings.pools, id));
}

Result<RoomLedger::Claim> VolumeVerbs::TakeRoom(const VolumePool& directory, uint64_t more_bytes) {
  return room_.Take(FindPool(engine_.settings.pools, directory.pool()), directory, more_bytes);
}

Result<v1::Volume> VolumeVerbs::Get(const std::string& name) const {
  const VolumeName parsed = TRY(ParseVolumeName(name));
  const VolumePoolPtr directory = TRY(OpenPool(parsed.pool));
  return ShowVolume(*directory, parsed.id, UsersOfVolumes(engine_.book));
}

Result<std::vector<v1::Volume>> VolumeVerbs::List(const std::string& parent) const {
  constexpr std::string_view kAll = "pools/-";
  const VolumeUsers users = UsersOfVolumes(engine_.book);
  if (parent != kAll) {
    const std::string pool = TRY(PoolOf(parent));
    return ShowVolumes(*TRY(OpenPool(pool)), users);
  }
  std::vector<v1::Volume> all;
  for (const PoolSettings& pool : engine_.settings.pools) {
    const auto directory = OpenVolumePool(pool);
    if (!directory) continue;
    for (v1::Volume& volume : TRY(ShowVolumes(**directory, users))) all.push_back(std::move(volume));
  }
  return all;
}

Status VolumeVerbs::CheckNoGuestHas(const std::string& name, bool writing, std::string_view done) const {
  std::vector<std::string> guests;
  const VolumeUsers users = UsersOfVolumes(engine_.book);
  for (auto [user, end] = users.equal_range(name); user != end; ++user) {
    if (user->second.writes || !writing) guests.push_back(user->second.guest);
  }
  if (guests.empty()) return Ok();
  const std::string all = fmt::format("{}", fmt::join(guests, ", "));
  return Fail(Error(Code::kFailedPrecondition,
                    fmt::format("{} cannot be {}, because it is a disk of {}", name, done, all))
                  .Reason("VOLUME_IN_USE")
                  .With("resource", name)
                  .With("guests", all));
}

}  // namespace berth::server

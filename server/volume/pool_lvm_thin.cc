#include "server/volume/pool_lvm_thin.h"

#include <algorithm>
#include <set>

#include "base/log.h"
#include "server/volume/new_thin_volume.h"
#include "server/volume/thin_name.h"

namespace berth::server {
namespace {

using Kind = ThinName::Kind;

// Of its data, or its metadata: from here on writes may begin to fail.
constexpr double kFullPercent = 99;

std::string VolumeLv(std::string_view volume) { return ThinName{.volume = std::string(volume)}.ToString(); }

}  // namespace

Result<PoolLvmThin::Report> PoolLvmThin::Look() const {
  Report report;
  const LvmThinSettings& settings = group_.settings();
  const std::string whole = group_.NameOf(settings.thin_pool);
  for (LogicalVolume& volume : TRY(group_.List())) {
    if (volume.name == settings.thin_pool && volume.IsThinPool()) {
      report.pool = std::move(volume);
    } else if (volume.IsThin() && volume.pool == settings.thin_pool) {
      report.volumes.push_back(std::move(volume));
    }
  }
  if (report.pool.name.empty()) {
    return Fail(group_.About(Code::kFailedPrecondition, "POOL_NOT_AVAILABLE",
                             fmt::format("there is no thin pool {}: `lvcreate --type thin-pool --size SIZE "
                                         "--name {} {}` makes one",
                                         whole, settings.thin_pool, settings.volume_group)));
  }
  if (report.pool.Zeroes()) return report;
  return Fail(group_.About(Code::kFailedPrecondition, "POOL_NOT_ZEROING",
                           fmt::format("{} does not zero what it gives to a volume, which would show what "
                                       "others wrote there: `lvchange --zero y {}`",
                                       whole, whole)));
}

Status PoolLvmThin::CheckRoom(const LogicalVolume& pool) const {
  const std::string whole = group_.NameOf(pool.name);
  if (pool.health() == 'F' || pool.health() == 'M') {
    return Fail(group_.About(
        Code::kFailedPrecondition, "POOL_NOT_AVAILABLE",
        fmt::format("{} has {}: `lvconvert --repair {}`, while nothing uses it", whole,
                    pool.health() == 'F' ? "failed" : "metadata that cannot be written", whole)));
  }
  if (pool.health() != 'D' && pool.data_percent < kFullPercent && pool.metadata_percent < kFullPercent)
    return Ok();
  return Fail(group_.About(
      Code::kResourceExhausted, "POOL_FULL",
      fmt::format("of {}, {:.2f} % of the data and {:.2f} % of the metadata are used: `lvextend --size +SIZE "
                  "{}`, or --poolmetadatasize, makes room",
                  whole, pool.data_percent, pool.metadata_percent, whole)));
}

Result<std::vector<VolumeFile>> PoolLvmThin::List() const {
  std::vector<VolumeFile> files;
  for (const LogicalVolume& volume : TRY(Look()).volumes) {
    const auto name = ThinName::Parse(volume.name);
    if (!name || name->kind != Kind::kVolume) continue;
    files.push_back(
        {.id = name->volume,
         .base = "",
         .format = "raw",
         .facts = VolumeFacts{.size_bytes = volume.size_bytes, .allocated_bytes = volume.allocated_bytes()}});
  }
  if (files.size() > kMaxVolumes) {
    return Fail(group_.About(Code::kResourceExhausted, "POOL_TOO_LARGE",
                             fmt::format("it has more than {} volumes", kMaxVolumes)));
  }
  std::sort(files.begin(), files.end(), [](const VolumeFile& a, const VolumeFile& b) { return a.id < b.id; });
  return files;
}

std::string PoolLvmThin::PathOf(const VolumeFile& file) const { return group_.NodeOf(VolumeLv(file.id)); }

Result<UniqueFd> PoolLvmThin::OpenVolume(const VolumeFile& file, int flags) const {
  return group_.Open(VolumeLv(file.id), flags);
}

Result<std::unique_ptr<NewVolume>> PoolLvmThin::Begin(const VolumeFile& file, uint64_t size_bytes) const {
  TRY(MakeReady(file.id));
  return NewThinVolume::Create(
      group_, {.pool = pool(), .id = file.id},
      {"lvcreate", "--type", "thin", "--thinpool", group_.settings().thin_pool, "--virtualsize",
       fmt::format("{}b", size_bytes), "--wipesignatures", "n", "--yes", group_.settings().volume_group});
}

Status PoolLvmThin::Remove(const VolumeFile& file, UniqueFd lock) const {
  // The volume first: snapshots without one are none.
  std::vector<std::string> gone{VolumeLv(file.id)};
  for (const block::Snapshot& snapshot : TRY(Snapshots(file.id)))
    gone.push_back(ThinName{Kind::kSnapshot, file.id, snapshot.name}.ToString());
  lock.Reset();  // LVM removes nothing that is open.
  return group_.Remove(gone);
}

Result<PoolSpace> PoolLvmThin::Space() const {
  const LogicalVolume pool = TRY(Look()).pool;
  const auto capacity = static_cast<int64_t>(pool.size_bytes);
  const auto allocated = static_cast<int64_t>(pool.allocated_bytes());
  return PoolSpace{.capacity_bytes = capacity,
                   .available_bytes = capacity - allocated,
                   .allocated_bytes = allocated,
                   .metadata_percent = pool.metadata_percent};
}

Status PoolLvmThin::Settle(const Report& report, const std::string& volume) const {
  bool there = false, is_new = false, replaced = false;
  std::vector<std::string> snapshots;
  for (const LogicalVolume& lv : report.volumes) {
    const auto name = ThinName::Parse(lv.name);
    if (!name || name->volume != volume) continue;
    there |= name->kind == Kind::kVolume;
    is_new |= name->kind == Kind::kNew;
    replaced |= name->kind == Kind::kReplaced;
    if (name->kind == Kind::kSnapshot) snapshots.push_back(lv.name);
  }
  // While this is being made, all else is somebody's.
  if (is_new) TRY(NewThinVolume::RemoveLeftover(group_, {.pool = pool(), .id = volume}));
  const std::string old = ThinName{.kind = Kind::kReplaced, .volume = volume}.ToString();
  if (replaced && there) TRY(group_.Remove({old}));
  if (replaced && !there) TRY(group_.Rename(old, VolumeLv(volume)));
  if (!replaced && !there && !snapshots.empty()) TRY(group_.Remove(snapshots));
  return Ok();
}

Status PoolLvmThin::MakeReady(const std::string& volume) const {
  const Report report = TRY(Look());
  TRY(CheckRoom(report.pool));
  return Settle(report, volume);
}

void PoolLvmThin::CleanUp() const {
  const auto report = Look();
  if (!report) {
    LOG_WARNING("{}", report.error().message());
    return;
  }
  std::set<std::string> volumes;
  for (const LogicalVolume& lv : report->volumes) {
    if (const auto name = ThinName::Parse(lv.name)) volumes.insert(name->volume);
  }
  for (const std::string& volume : volumes) {
    if (const Status settled = Settle(*report, volume); !settled)
      LOG_WARNING("what was begun with {} is not settled: {}", NameOf(volume), settled.error().message());
  }
}

}  // namespace berth::server

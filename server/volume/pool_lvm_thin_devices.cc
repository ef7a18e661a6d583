// What PoolLvmThin does in place of images: copies, growth, snapshots, all of them LVM's.
#include <algorithm>

#include "base/log.h"
#include "server/volume/new_thin_volume.h"
#include "server/volume/pool_lvm_thin.h"
#include "server/volume/thin_name.h"

namespace berth::server {
namespace {

using Kind = ThinName::Kind;

std::string SnapshotLv(const std::string& volume, const std::string& snapshot) {
  return ThinName{Kind::kSnapshot, volume, snapshot}.ToString();
}

// Of what is to be a volume: others, LVM makes active only when it is told so for each.
std::vector<std::string> CopyCommand(const std::string& origin) {
  return {"lvcreate", "--snapshot", "--setactivationskip", "n", "--yes", origin};
}

}  // namespace

Result<std::unique_ptr<NewVolume>> PoolLvmThin::BeginCopy(const VolumeFile& file, const std::string& origin,
                                                          uint64_t size_bytes) const {
  const uint64_t origin_bytes = TRY(Find(origin)).facts->size_bytes;
  TRY(MakeReady(file.id));
  auto made = TRY(NewThinVolume::Create(group_, {.pool = pool(), .id = file.id},
                                        CopyCommand(group_.NameOf(ThinName{.volume = origin}.ToString()))));
  if (size_bytes > origin_bytes) TRY(made->Grow(size_bytes));
  return made;
}

Status PoolLvmThin::Grow(const VolumeFile& file, uint64_t size_bytes) const {
  if (TRY(Find(file.id)).facts->size_bytes >= size_bytes) return Ok();
  return group_.Run({"lvextend", "--size", fmt::format("{}b", size_bytes),
                     group_.NameOf(ThinName{.volume = file.id}.ToString())});
}

Result<std::vector<block::Snapshot>> PoolLvmThin::Snapshots(const std::string& volume) const {
  std::vector<block::Snapshot> snapshots;
  for (const LogicalVolume& lv : TRY(Look()).volumes) {
    const auto name = ThinName::Parse(lv.name);
    if (!name || name->kind != Kind::kSnapshot || name->volume != volume) continue;
    block::Snapshot& snapshot = snapshots.emplace_back();
    snapshot.name = name->snapshot;
    snapshot.disk_bytes = lv.size_bytes;
    snapshot.date_seconds = lv.created_seconds;
  }
  std::sort(snapshots.begin(), snapshots.end(),
            [](const block::Snapshot& a, const block::Snapshot& b) { return a.name < b.name; });
  return snapshots;
}

Status PoolLvmThin::CreateSnapshot(const std::string& volume, const std::string& snapshot) const {
  const std::string name = SnapshotLv(volume, snapshot);
  TRY(group_.CheckName(name));
  TRY(CheckRoom(TRY(Look()).pool));
  return group_.Run({"lvcreate", "--name", name, "--snapshot", "--setactivationskip", "y", "--yes",
                     group_.NameOf(ThinName{.volume = volume}.ToString())});
}

// Whatever ends this, the next Settle finds which of the two is the volume: the old one, until the new one
// has its name.
Status PoolLvmThin::ApplySnapshot(const VolumeFile& file, const std::string& snapshot, UniqueFd lock) const {
  TRY(MakeReady(file.id));
  const auto made = TRY(NewThinVolume::Create(group_, {.pool = pool(), .id = file.id},
                                              CopyCommand(group_.NameOf(SnapshotLv(file.id, snapshot)))));
  const std::string volume = ThinName{.volume = file.id}.ToString();
  const std::string old = ThinName{.kind = Kind::kReplaced, .volume = file.id}.ToString();
  TRY(group_.Rename(volume, old));
  if (Status published = made->Publish(file); !published) {
    if (const Status back = group_.Rename(old, volume); !back)
      LOG_WARNING("{} is not there until berthd starts again: {}", NameOf(file.id), back.error().message());
    return published;
  }
  lock.Reset();  // LVM removes nothing that is open.
  if (const Status removed = group_.Remove({old}); !removed)
    LOG_WARNING("{} is left until berthd starts again: {}", group_.NameOf(old), removed.error().message());
  return Ok();
}

Status PoolLvmThin::DeleteSnapshot(const std::string& volume, const std::string& snapshot) const {
  return group_.Remove({SnapshotLv(volume, snapshot)});
}

}  // namespace berth::server

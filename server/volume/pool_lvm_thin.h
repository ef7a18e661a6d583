// A pool whose volumes are thin volumes in a thin pool of LVM's: which of them are ours, and what can be
// done.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/volume/device_volumes.h"
#include "server/volume/lvm_group.h"
#include "server/volume/volume_pool.h"

namespace berth::server {

// The errors of any method are LvmGroup's and, of the thin pool, FAILED_PRECONDITION: POOL_NOT_AVAILABLE (it
// is not there); POOL_NOT_ZEROING (a volume in it would show what others' volumes had). Of those that need
// room in it: RESOURCE_EXHAUSTED, POOL_FULL.
class PoolLvmThin final : public VolumePool, public DeviceVolumes {
 public:
  explicit PoolLvmThin(const PoolSettings& pool) : VolumePool(pool.id), group_(pool) {}

  Result<std::vector<VolumeFile>> List() const override;
  std::string PathOf(const VolumeFile& file) const override;
  Result<UniqueFd> OpenVolume(const VolumeFile& file, int flags) const override;
  Result<std::unique_ptr<NewVolume>> Begin(const VolumeFile& file, uint64_t size_bytes) const override;
  // With its snapshots.
  Status Remove(const VolumeFile& file, UniqueFd lock) const override;
  Result<PoolSpace> Space() const override;
  void CleanUp() const override;
  const DeviceVolumes* devices() const override { return this; }

  Result<std::unique_ptr<NewVolume>> BeginCopy(const VolumeFile& file, const std::string& origin,
                                               uint64_t size_bytes) const override;
  Status Grow(const VolumeFile& file, uint64_t size_bytes) const override;
  Result<std::vector<block::Snapshot>> Snapshots(const std::string& volume) const override;
  Status CreateSnapshot(const std::string& volume, const std::string& snapshot) const override;
  Status ApplySnapshot(const VolumeFile& file, const std::string& snapshot, UniqueFd lock) const override;
  Status DeleteSnapshot(const std::string& volume, const std::string& snapshot) const override;

 private:
  // The thin pool, and what is in it.
  struct Report {
    LogicalVolume pool;
    std::vector<LogicalVolume> volumes;
  };
  Result<Report> Look() const;
  Status CheckRoom(const LogicalVolume& pool) const;
  // Ends what others began with this volume, and were ended. ABORTED, VOLUME_BUSY, if they have not ended.
  Status Settle(const Report& report, const std::string& volume) const;
  // For a volume of this id to be made.
  Status MakeReady(const std::string& volume) const;

  const LvmGroup group_;
};

}  // namespace berth::server

#include "server/volume/room_ledger.h"

#include <sys/statvfs.h>

#include <cerrno>

#include "server/volume/volume_facts.h"

namespace berth::server {
namespace {

double GiB(uint64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(uint64_t{1} << 30); }

}  // namespace

Result<RoomLedger::Claim> RoomLedger::Take(const PoolSettings& pool, const PoolDirectory& directory,
                                           uint64_t more_bytes) {
  if (pool.overcommit_ratio == 0) return nullptr;
  struct statvfs space {};
  if (::fstatvfs(directory.fd(), &space) != 0) return FailErrno(errno, "ask how large {} is", pool.directory);
  const uint64_t capacity = space.f_blocks * space.f_frsize;
  MutexLock lock(mutex_);
  uint64_t promised = claimed_[pool.id];
  for (const VolumeFile& file : TRY(directory.List())) {
    // Each is at most kMaxVolumeBytes, of which kMaxVolumes do not fit into the sum: enough is enough.
    if (const auto facts = LookAt(directory, file); facts && promised < kMaxVolumeBytes)
      promised += facts->size_bytes;
  }
  const double limit = pool.overcommit_ratio * static_cast<double>(capacity);
  if (static_cast<double>(promised) + static_cast<double>(more_bytes) > limit) {
    return Fail(
        Error(
            Code::kResourceExhausted,
            fmt::format(
                "{}: {:.3f} GiB promised + {:.3f} GiB asked = {:.3f} GiB, and the limit is {} x {:.3f} GiB = "
                "{:.3f} GiB",
                PoolName(pool.id), GiB(promised), GiB(more_bytes), GiB(promised + more_bytes),
                pool.overcommit_ratio, GiB(capacity), limit / static_cast<double>(uint64_t{1} << 30)))
            .Reason("POOL_FULL")
            .With("resource", PoolName(pool.id))
            .With("promisedBytes", std::to_string(promised))
            .With("askedBytes", std::to_string(more_bytes))
            .With("capacityBytes", std::to_string(capacity))
            .With("overcommitRatio", fmt::format("{}", pool.overcommit_ratio)));
  }
  claimed_[pool.id] += more_bytes;
  return Claim(this, [this, id = pool.id, more_bytes](void*) {
    MutexLock release(mutex_);
    claimed_[id] -= more_bytes;
  });
}

}  // namespace berth::server

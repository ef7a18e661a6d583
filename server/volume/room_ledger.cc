#include "server/volume/room_ledger.h"

#include "server/volume/volume_facts.h"

namespace berth::server {
namespace {

double GiB(uint64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(uint64_t{1} << 30); }

}  // namespace

Result<RoomLedger::Claim> RoomLedger::Take(const PoolSettings& pool, const VolumePool& directory,
                                           uint64_t more_bytes) {
  if (pool.overcommit_ratio == 0) return nullptr;
  MutexLock lock(mutex_);
  const PoolFacts facts = TRY(MeasurePool(directory));
  const auto capacity = static_cast<uint64_t>(facts.capacity_bytes);
  const uint64_t promised = claimed_[pool.id] + static_cast<uint64_t>(facts.promised_bytes);
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

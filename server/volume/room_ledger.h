// What the volumes of a pool are promised together, where that is limited.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/mutex.h"
#include "server/volume/volume_pool.h"

namespace berth::server {

// Any thread.
class RoomLedger {
 public:
  // As long as somebody has it, the pool's volumes count as larger by so much.
  using Claim = std::shared_ptr<void>;

  // `more_bytes` for a volume that is to be made or grown. RESOURCE_EXHAUSTED, POOL_FULL.
  Result<Claim> Take(const PoolSettings& pool, const VolumePool& directory, uint64_t more_bytes);

 private:
  Mutex mutex_;
  std::map<std::string, uint64_t> claimed_ GUARDED_BY(mutex_);  // By pool.
};

}  // namespace berth::server

// The pools that berthd's configuration names.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "server/volume/volume_pool.h"

namespace berth::server {

inline constexpr size_t kMaxPools = 64;

// From "fast=/var/lib/berth/fast" or "thin=lvm-thin:vg0/pool0" and, for the ratios of some of them,
// "fast=1.5"; `lvm` is the program's path. By id. INVALID_ARGUMENT, BAD_OPTION.
Result<std::vector<PoolSettings>> ParsePools(const std::vector<std::string>& pools,
                                             const std::vector<std::string>& ratios,
                                             const std::string& lvm = LvmThinSettings().program);

// One that is not configured if there is none of that id.
PoolSettings FindPool(const std::vector<PoolSettings>& pools, const std::string& id);

// NOT_FOUND, POOL_NOT_FOUND; FAILED_PRECONDITION, POOL_NOT_AVAILABLE; those of its kind.
Result<VolumePoolPtr> OpenVolumePool(const PoolSettings& pool);

}  // namespace berth::server

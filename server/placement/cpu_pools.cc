#include "server/placement/cpu_pools.h"

namespace berth::server {

ResolvedCpuPools Resolve(const CpuPools& pools, const host::CpuTopology& topology) {
  const host::CpuSet& online = topology.online;
  const host::CpuSet left = online - pools.housekeeping;
  ResolvedCpuPools resolved{.housekeeping = pools.housekeeping & online,
                            .dedicated = pools.dedicated & left,
                            .shared = pools.shared & left};
  if (pools.dedicated.empty() && pools.shared.empty()) {
    resolved.dedicated = topology.isolated & left;
    resolved.common = resolved.dedicated.empty();
    if (resolved.common) resolved.dedicated = left;
    resolved.shared = resolved.common ? left : left - resolved.dedicated;
  } else if (pools.dedicated.empty()) {
    resolved.dedicated = left - resolved.shared;
  } else if (pools.shared.empty()) {
    resolved.shared = left - resolved.dedicated;
  }
  return resolved;
}

}  // namespace berth::server

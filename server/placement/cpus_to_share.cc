#include "server/placement/cpus_to_share.h"

#include "server/placement/subsets.h"

namespace berth::server {

host::CpuSet CpusToShare(const HostModel& model, const std::vector<uint8_t>& free, NodeMask nodes) {
  host::CpuSet shared;
  for (int node : IndicesOf(nodes)) {
    if (!model.common_pool) {
      shared = shared | model.nodes[node].shared_cpus;
      continue;
    }
    for (int index : model.nodes[node].cores) {
      const HostModel::Core& core = model.cores[index];
      for (size_t i = 0; i < core.cpus.size(); ++i) {
        if (free[index] >> i & 1) shared.Insert(core.cpus[i]);
      }
    }
  }
  return shared;
}

}  // namespace berth::server

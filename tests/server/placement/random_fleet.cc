#include "tests/server/placement/random_fleet.h"

#include <algorithm>

namespace berth::server {
namespace {

void AddNodes(Random& random, PlacementRequest* request) {
  const uint64_t size = request->page_size_bytes * static_cast<uint64_t>(random.Between(32, 4096));
  if (random.OneIn(5)) {
    request->node_count = random.OneIn(2) ? PlacementRequest::kAutomaticNodes : random.Between(1, 3);
    request->node_count = std::min(request->node_count, request->vcpu_count);
    request->size_bytes = size;
    return;
  }
  const int nodes = random.OneIn(3) ? std::min(random.Between(1, 3), request->vcpu_count) : 1;
  request->nodes.resize(nodes);
  for (int vcpu = 0; vcpu < request->vcpu_count; ++vcpu)
    request->nodes[vcpu * nodes / request->vcpu_count].vcpus.push_back(vcpu);
  for (auto& node : request->nodes)
    node.size_bytes = request->page_size_bytes * static_cast<uint64_t>(random.Between(32, 4096));
}

void AddDevices(Random& random, const host::MadeHost& made, PlacementRequest* request) {
  for (int node = 0; node < static_cast<int>(made.devices.size()); ++node) {
    for (int i = 0; i < made.devices[node]; ++i)
      request->candidates.push_back(
          {.key = host::DeviceOf(node, i).ToString(), .host_node = made.first_node + node * made.node_step});
  }
  if (request->candidates.empty()) return;
  for (int i = random.Between(1, 3); i > 0; --i) {
    DeviceRequest device{.affinity = static_cast<DeviceAffinity>(random.Below(3))};
    for (size_t candidate = 0; candidate < request->candidates.size(); ++candidate) {
      if (random.OneIn(2)) device.any_of.push_back(static_cast<int>(candidate));
    }
    request->devices.push_back(device);
  }
}

}  // namespace

host::MadeHost RandomHost(Random& random) {
  host::MadeHost made{.nodes = random.Between(1, 4),
                      .cores_per_node = random.Between(1, 8),
                      .threads_per_core = random.OneIn(4) ? 1 : 2,
                      .bytes_per_node = static_cast<uint64_t>(random.Between(1, 8)) * 2 * kGiB,
                      .cores_per_cache = random.Between(1, 8)};
  if (random.OneIn(2)) made.huge_bytes_per_node = made.bytes_per_node / 2;
  for (int i = 0; i < made.nodes; ++i) made.devices.push_back(random.Between(0, 3));
  return made;
}

CpuPools RandomPools(Random& random, const host::HostSnapshot& host) {
  CpuPools pools;
  if (random.OneIn(2)) return pools;
  for (int cpu : host.cpus.online) {
    const int use = random.Below(6);
    if (use == 0) pools.housekeeping.Insert(cpu);
    if (use >= 3) pools.dedicated.Insert(cpu);
  }
  return pools;
}

PlacementRequest RandomRequest(Random& random, const host::MadeHost& made, const std::string& guest) {
  PlacementRequest request{.guest = guest, .vcpu_count = random.Between(1, 8)};
  request.cpu_policy = static_cast<CpuPolicy>(random.Below(3));
  if (random.OneIn(3)) request.page_size_bytes = 2 * kMiB;
  if (random.OneIn(4)) {
    request.threads_per_core = 2;
    request.vcpu_count += request.vcpu_count % 2;
  } else if (random.OneIn(3)) {
    request.threads_per_core = 0;
  }
  for (int vcpu = 0; vcpu < request.vcpu_count; ++vcpu) {
    if (random.OneIn(2)) request.dedicated_vcpus.Insert(vcpu);
  }
  request.sibling_policy = static_cast<SiblingPolicy>(random.Below(3));
  request.millicpus_per_shared_vcpu = random.Between(1, 1000);
  request.memory_permille = random.OneIn(3) ? random.Between(500, 1000) : 1000;
  request.overhead_bytes = static_cast<uint64_t>(random.Between(0, 64)) * kMiB;
  request.emulator = static_cast<HelperPolicy>(random.Below(3));
  request.io_threads = static_cast<HelperPolicy>(random.Below(3));
  request.io_thread_count = random.Below(3);
  AddNodes(random, &request);
  if (random.OneIn(3)) AddDevices(random, made, &request);
  if (random.OneIn(6)) request.apart_from = {"guests/" + std::to_string(random.Below(10))};
  if (random.OneIn(6)) request.host_nodes = {made.first_node + random.Below(made.nodes) * made.node_step};
  return request;
}

}  // namespace berth::server

#include <algorithm>

#include "server/placement/choose.h"
#include "server/placement/core_pick.h"
#include "server/placement/cpus_to_share.h"
#include "server/placement/host_cpus.h"

namespace berth::server {
namespace {

class Assembly {
 public:
  Assembly(const HostModel& model, const HostRoom& room, const PlacementRequest& request,
           const Choice& choice)
      : model_(model),
        request_(request),
        choice_(choice),
        free_(WithoutHostCpus(model, request.host_cpus, room).free) {}

  Placement Make() {
    placement_.vcpus.resize(request_.vcpu_count);
    placement_.nodes.resize(choice_.guest_nodes.size());
    placement_.reservation.guest = request_.guest;
    placement_.reservation.vcpus = request_.vcpu_count;
    placement_.reservation.apart_from = request_.apart_from;
    DedicateCpus();
    ShareCpus();
    GiveMemory();
    PlaceHelpers();
    GiveDevices();
    placement_.threads_per_core = ThreadsPerCore();
    return std::move(placement_);
  }

 private:
  void Reserve(const std::vector<int>& cpus) {
    for (int cpu : cpus) placement_.reservation.dedicated_cpus.Insert(cpu);
  }

  void DedicateCpus() {
    for (size_t vcpu = 0; vcpu < request_.host_cpus.size(); ++vcpu)
      placement_.vcpus[vcpu] = {request_.host_cpus[vcpu]};
    Reserve(request_.host_cpus);
    for (const Part& part : choice_.parts) {
      const CorePick pick = PickCores(model_, part.host_node, part.demand, choice_.shape, &free_);
      CHECK(pick.vcpus.size() == part.demand.dedicated_vcpus.size());
      for (size_t i = 0; i < pick.vcpus.size(); ++i)
        placement_.vcpus[part.demand.dedicated_vcpus[i]] = {pick.vcpus[i]};
      helpers_.insert(helpers_.end(), pick.helpers.begin(), pick.helpers.end());
      Reserve(pick.vcpus);
      Reserve(pick.helpers);
      Reserve(pick.idle);
    }
  }

  // What is left to share once the guest's own CPUs are taken.
  host::CpuSet SharedCpus(NodeMask nodes) const { return CpusToShare(model_, free_, nodes); }

  NodeMask NodesOf(int guest_node) const {
    NodeMask nodes = 0;
    for (const Part& part : choice_.parts) {
      if (part.guest_node == guest_node) nodes |= NodeMask{1} << part.host_node;
    }
    return nodes;
  }

  void ShareCpus() {
    for (size_t i = 0; i < choice_.guest_nodes.size(); ++i) {
      const host::CpuSet shared = SharedCpus(NodesOf(static_cast<int>(i)));
      for (int vcpu : choice_.guest_nodes[i].vcpus) {
        if (request_.host_cpus.empty() && !request_.IsDedicated(vcpu)) placement_.vcpus[vcpu] = shared;
      }
    }
    for (const Part& part : choice_.parts) {
      if (part.demand.millicpus == 0) continue;
      placement_.reservation.shared_cpus.push_back({.host_node = model_.nodes[part.host_node].id,
                                                    .millicpus = static_cast<int>(part.demand.millicpus)});
    }
  }

  void GiveMemory() {
    std::vector<int> first_host(choice_.guest_nodes.size(), -1);
    for (const Part& part : choice_.parts) {
      const int host_node = model_.nodes[part.host_node].id;
      if (first_host[part.guest_node] < 0) first_host[part.guest_node] = part.host_node;
      if (part.demand.pages > 0) {
        placement_.nodes[part.guest_node].memory.push_back(
            {.host_node = host_node, .size_bytes = part.demand.pages * request_.page_size_bytes});
      }
      AddMemory(host_node, request_.page_size_bytes, part.demand.bytes);
      AddMemory(host_node, kOrdinaryPageBytes, part.demand.overhead_bytes);
    }
    for (size_t i = 0; i < first_host.size(); ++i) {
      placement_.nodes[i].vcpus = choice_.guest_nodes[i].vcpus;
      for (size_t j = 0; j < first_host.size(); ++j) {
        // Guest nodes on one host node are still told apart: a SLIT has 10 on its diagonal alone.
        const int distance = model_.nodes[first_host[i]].distances[first_host[j]];
        placement_.nodes[i].distances.push_back(i == j ? 10 : std::clamp(distance, 11, 254));
      }
    }
  }

  void AddMemory(int host_node, uint64_t page_size_bytes, uint64_t size_bytes) {
    if (size_bytes == 0) return;
    for (Reservation::Memory& memory : placement_.reservation.memory) {
      if (memory.host_node != host_node || memory.page_size_bytes != page_size_bytes) continue;
      memory.size_bytes += size_bytes;
      return;
    }
    placement_.reservation.memory.push_back(
        {.host_node = host_node, .page_size_bytes = page_size_bytes, .size_bytes = size_bytes});
  }

  host::CpuSet HelperCpus(HelperPolicy policy) {
    if (policy == HelperPolicy::kShared) return SharedCpus(NodesOf(0));
    if (policy == HelperPolicy::kWithVcpus) return placement_.AllCpus();
    return {helpers_[next_helper_++]};
  }

  void PlaceHelpers() {
    placement_.emulator = HelperCpus(request_.emulator);
    for (int i = 0; i < request_.io_thread_count; ++i)
      placement_.io_threads.push_back(HelperCpus(request_.io_threads));
  }

  void GiveDevices() {
    for (int pick : choice_.devices.picks) {
      const DeviceCandidate& candidate = request_.candidates[pick];
      placement_.devices.push_back({.key = candidate.key,
                                    .host_node = candidate.host_node,
                                    .guest_node = GuestNodeNear(candidate.host_node)});
      placement_.reservation.devices.push_back({.key = candidate.key, .host_node = candidate.host_node});
    }
  }

  int GuestNodeNear(std::optional<int> host_node) const {
    const int device = host_node ? model_.IndexOfNode(*host_node) : -1;
    int best = 0, nearest = 256;
    for (const Part& part : choice_.parts) {
      const int distance = device < 0 ? 255 : model_.nodes[part.host_node].distances[device];
      if (distance >= nearest) continue;
      nearest = distance;
      best = part.guest_node;
    }
    return best;
  }

  // As many threads as every run of vCPUs shares a host core.
  int ThreadsPerCore() const {
    if (request_.threads_per_core > 0) return request_.threads_per_core;
    const int threads = model_.threads_per_core;
    if (request_.cpu_policy != CpuPolicy::kDedicated || threads == 1) return 1;
    for (const auto& node : placement_.nodes) {
      if (node.vcpus.size() % threads != 0) return 1;
    }
    for (int vcpu = 0; vcpu < request_.vcpu_count; ++vcpu) {
      const int first = vcpu - vcpu % threads;
      if (CoreOf(vcpu) != CoreOf(first)) return 1;
    }
    return request_.vcpu_count % threads == 0 ? threads : 1;
  }
  int CoreOf(int vcpu) const { return model_.core_of_cpu[*placement_.vcpus[vcpu].begin()]; }

  const HostModel& model_;
  const PlacementRequest& request_;
  const Choice& choice_;
  std::vector<uint8_t> free_;
  std::vector<int> helpers_;
  size_t next_helper_ = 0;
  Placement placement_;
};

}  // namespace

Placement Assemble(const HostModel& model, const HostRoom& room, const PlacementRequest& request,
                   const Choice& choice) {
  return Assembly(model, room, request, choice).Make();
}

}  // namespace berth::server

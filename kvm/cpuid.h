// The CPUID leaves a guest sees: the host's as KVM offers them, with the guest's own topology. Pure.
//
// Intel SDM volume 2A (CPUID), AMD APM volume 3 appendix E, Linux Documentation/virt/kvm/x86/cpuid.rst.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace berth::kvm {

struct CpuidEntry {
  uint32_t function = 0;
  uint32_t index = 0;
  bool index_matters = false;
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// Sockets, cores and threads of the guest; vCPUs are numbered through, threads of a core first.
struct CpuTopology {
  uint32_t sockets = 1;
  uint32_t cores_per_socket = 1;
  uint32_t threads_per_core = 1;
  // The largest number there is, where the product is larger.
  uint32_t vcpus() const {
    const uint64_t cores = std::min<uint64_t>(uint64_t{sockets} * cores_per_socket, UINT32_MAX);
    return static_cast<uint32_t>(std::min<uint64_t>(cores * threads_per_core, UINT32_MAX));
  }
};

// The x2APIC id of a vCPU: its thread, core and socket numbers in bit fields, each as wide as it needs;
// up to 31 sockets are at least eight ids apart.
uint32_t ApicId(const CpuTopology& topology, uint32_t vcpu);

// The highest bit of APIC ids, up to the socket's, from which on the same id means the same node.
// `node_of_vcpu` may be shorter than there are vCPUs: the rest is on node 0.
uint32_t NodeShift(const CpuTopology& topology, std::span<const uint32_t> node_of_vcpu);

struct GuestCpuidOptions {
  CpuTopology topology;
  uint32_t vcpu = 0;
  bool tsc_deadline_timer = false;  // KVM_CAP_TSC_DEADLINE_TIMER, which the supported leaves do not say.
  uint32_t tsc_khz = 0;             // 0 if not known.
  // Which vCPUs share a last-level cache: those of a socket whose APIC ids are the same from this bit on.
  // Guests do not believe in a cache of two NUMA nodes.
  uint32_t last_level_cache_shift = 32;
};

// The table for one vCPU, from System::SupportedCpuid. Leaves that describe the host's topology (1, 4, 0xb,
// 0x1f, 0x80000008, 0x8000001d, 0x8000001e) are rewritten.
std::vector<CpuidEntry> GuestCpuid(const std::vector<CpuidEntry>& supported,
                                   const GuestCpuidOptions& options);

}  // namespace berth::kvm

#include "kvm/cpuid.h"

#include <algorithm>
#include <bit>

namespace berth::kvm {
namespace {

constexpr uint32_t kLeafFeatures = 1, kLeafCaches = 4, kLeafTopology = 0xb, kLeafTopologyV2 = 0x1f,
                   kLeafHypervisor = 0x40000000, kLeafTiming = 0x40000010, kLeafAmdFeatures = 0x80000001,
                   kLeafAmdSizes = 0x80000008, kLeafAmdCaches = 0x8000001d, kLeafAmdTopology = 0x8000001e;

// Bits that number `count` things.
uint32_t BitsFor(uint32_t count) { return count <= 1 ? 0 : static_cast<uint32_t>(std::bit_width(count - 1)); }

void SetBit(uint32_t* word, unsigned bit, bool value) {
  *word = value ? *word | 1u << bit : *word & ~(1u << bit);
}

CpuidEntry* Find(std::vector<CpuidEntry>& table, uint32_t function) {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const auto& e) { return e.function == function; });
  return found == table.end() ? nullptr : &*found;
}

bool IsAmd(const std::vector<CpuidEntry>& table) {
  for (const CpuidEntry& entry : table) {
    if (entry.function == 0) return entry.ebx == 0x68747541 || entry.ebx == 0x6f677948;  // "Auth", "Hygo"
  }
  return false;
}

// Linux takes eight APIC ids in a row for sharers of a cache on AMD's family 17h up to model 1fh, whatever
// leaf 0x8000001d says; sockets, which may be on different nodes, are apart by that.
constexpr uint32_t kMinSocketShift = 3;
constexpr uint32_t kMostSocketsApart = 255 >> kMinSocketShift;  // Ids above 254 need more of a guest.

uint32_t SocketShift(const CpuTopology& topology) {
  const uint32_t needed = BitsFor(topology.threads_per_core) + BitsFor(topology.cores_per_socket);
  const bool apart = topology.sockets > 1 && topology.sockets <= kMostSocketsApart;
  return apart ? std::max(needed, kMinSocketShift) : needed;
}

class Builder {
 public:
  Builder(std::vector<CpuidEntry> table, const GuestCpuidOptions& options)
      : table_(std::move(table)),
        options_(options),
        topology_(options.topology),
        threads_per_socket_(topology_.cores_per_socket * topology_.threads_per_core),
        thread_bits_(BitsFor(topology_.threads_per_core)),
        socket_shift_(SocketShift(topology_)),
        apic_id_(ApicId(topology_, options.vcpu)),
        amd_(IsAmd(table_)) {}

  std::vector<CpuidEntry> Build() {
    Features();
    Caches();
    ExtendedTopology();
    AmdTopology();
    Timing();
    return std::move(table_);
  }

 private:
  void Features() {
    CpuidEntry* leaf = Find(table_, kLeafFeatures);
    if (leaf == nullptr) return;
    const uint32_t id_space = 1u << socket_shift_;
    leaf->ebx = (leaf->ebx & 0xffff) | std::min(id_space, 255u) << 16 | (apic_id_ & 0xff) << 24;
    SetBit(&leaf->edx, 28, threads_per_socket_ > 1);  // HTT: bits 23:16 of EBX count.
    SetBit(&leaf->ecx, 24, options_.tsc_deadline_timer);
    SetBit(&leaf->ecx, 31, true);  // A hypervisor is present.
    SetBit(&leaf->ecx, 3, false);  // MONITOR: KVM would only emulate it as a no-op.
  }

  // Which vCPUs share a cache: level 1 and 2 the threads of a core, level 3 the socket.
  uint32_t SharingVcpus(uint32_t cache_level) const {
    return cache_level <= 2 ? 1u << thread_bits_
                            : 1u << std::min(socket_shift_, options_.last_level_cache_shift);
  }

  void Caches() {
    for (CpuidEntry& leaf : table_) {
      if (leaf.function != kLeafCaches && leaf.function != kLeafAmdCaches) continue;
      if ((leaf.eax & 0x1f) == 0) continue;  // No more caches.
      const uint32_t level = leaf.eax >> 5 & 7;
      leaf.eax &= leaf.function == kLeafCaches ? 0x3ffu : ~(0xfffu << 14);
      leaf.eax |= std::min(SharingVcpus(level) - 1, 0xfffu) << 14;
      if (leaf.function == kLeafCaches)
        leaf.eax |= std::min((1u << (socket_shift_ - thread_bits_)) - 1, 0x3fu) << 26;
    }
  }

  // Leaf 0xb (and 0x1f, which has the same two levels here): threads of a core, threads of a socket.
  void ExtendedTopology() {
    const bool has_v2 = Find(table_, kLeafTopologyV2) != nullptr;
    std::erase_if(table_, [](const CpuidEntry& e) {
      return e.function == kLeafTopology || e.function == kLeafTopologyV2;
    });
    for (uint32_t function : {kLeafTopology, kLeafTopologyV2}) {
      if (function == kLeafTopologyV2 && !has_v2) continue;
      table_.push_back({function, 0, true, thread_bits_, topology_.threads_per_core, 1 << 8 | 0, apic_id_});
      table_.push_back({function, 1, true, socket_shift_, threads_per_socket_, 2 << 8 | 1, apic_id_});
      table_.push_back({function, 2, true, 0, 0, 2, apic_id_});
    }
    if (CpuidEntry* basic = Find(table_, 0); basic != nullptr) {
      basic->eax = std::max(basic->eax, has_v2 ? kLeafTopologyV2 : kLeafTopology);
    }
  }

  void AmdTopology() {
    if (!amd_) return;
    if (CpuidEntry* leaf = Find(table_, kLeafAmdSizes); leaf != nullptr) {
      leaf->ecx = (leaf->ecx & ~0xf0ffu) | std::min(threads_per_socket_ - 1, 0xffu) |
                  std::min(socket_shift_, 0xfu) << 12;
    }
    if (CpuidEntry* leaf = Find(table_, kLeafAmdFeatures); leaf != nullptr) {
      SetBit(&leaf->ecx, 1, threads_per_socket_ > 1);  // CmpLegacy.
    }
    if (CpuidEntry* leaf = Find(table_, kLeafAmdTopology); leaf != nullptr) {
      leaf->eax = apic_id_;
      leaf->ebx = (topology_.threads_per_core - 1) << 8 | apic_id_ >> thread_bits_;
      leaf->ecx = apic_id_ >> socket_shift_;
    }
  }

  // The frequencies of TSC and APIC bus, by the convention that guests read at 0x40000010: no calibration at
  // boot.
  void Timing() {
    CpuidEntry* base = Find(table_, kLeafHypervisor);
    if (base == nullptr || options_.tsc_khz == 0) return;
    base->eax = std::max(base->eax, kLeafTiming);
    constexpr uint32_t kApicBusKhz = 1'000'000;  // KVM's APIC counts nanoseconds.
    std::erase_if(table_, [](const CpuidEntry& e) { return e.function == kLeafTiming; });
    table_.push_back({kLeafTiming, 0, false, options_.tsc_khz, kApicBusKhz, 0, 0});
  }

  std::vector<CpuidEntry> table_;
  const GuestCpuidOptions options_;
  const CpuTopology topology_;
  const uint32_t threads_per_socket_;
  const uint32_t thread_bits_;
  const uint32_t socket_shift_;
  const uint32_t apic_id_;
  const bool amd_;
};

}  // namespace

uint32_t ApicId(const CpuTopology& topology, uint32_t vcpu) {
  const uint32_t thread = vcpu % topology.threads_per_core;
  const uint32_t core = vcpu / topology.threads_per_core % topology.cores_per_socket;
  const uint32_t socket = vcpu / topology.threads_per_core / topology.cores_per_socket;
  const uint32_t thread_bits = BitsFor(topology.threads_per_core);
  return socket << SocketShift(topology) | core << thread_bits | thread;
}

uint32_t NodeShift(const CpuTopology& topology, std::span<const uint32_t> node_of_vcpu) {
  const auto node = [&](uint32_t vcpu) { return vcpu < node_of_vcpu.size() ? node_of_vcpu[vcpu] : 0; };
  uint32_t shift = SocketShift(topology);
  for (uint32_t vcpu = 1; vcpu < topology.vcpus(); ++vcpu) {
    if (node(vcpu) == node(vcpu - 1)) continue;
    // They are apart from their highest differing bit downwards.
    const uint32_t difference = ApicId(topology, vcpu) ^ ApicId(topology, vcpu - 1);
    shift = std::min(shift, static_cast<uint32_t>(std::bit_width(difference)) - 1);
  }
  return shift;
}

std::vector<CpuidEntry> GuestCpuid(const std::vector<CpuidEntry>& supported,
                                   const GuestCpuidOptions& options) {
  return Builder(supported, options).Build();
}

}  // namespace berth::kvm

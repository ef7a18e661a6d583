#include "kvm/cpuid.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

namespace berth::kvm {
namespace {

constexpr uint32_t kGenuine = 0x756e6547, kAuthentic = 0x68747541;  // EBX of leaf 0.

// What an Intel KVM host might offer: 8 of its own CPUs in one package, monitor, HTT, its own APIC id
// everywhere.
std::vector<CpuidEntry> IntelHost() {
  return {
      {0, 0, false, 0x1f, kGenuine, 0, 0},
      {1, 0, false, 0x000806f8, 0x07100800, 1 << 3 | 1 << 21, 1 << 28},
      {4, 0, true, 7u << 26 | 15u << 14 | 1 << 5 | 1, 0, 63, 0},  // L1 data
      {4, 1, true, 7u << 26 | 15u << 14 | 3 << 5 | 3, 0, 63, 0},  // L3
      {4, 2, true, 0, 0, 0, 0},
      {0xb, 0, true, 1, 2, 1 << 8, 7},
      {0xb, 1, true, 4, 16, 2 << 8 | 1, 7},
      {0x1f, 0, true, 1, 2, 1 << 8, 7},
      {0x1f, 1, true, 4, 16, 2 << 8 | 1, 7},
      {0x1f, 2, true, 6, 64, 5 << 8 | 2, 7},
      {0x40000000, 0, false, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d},
  };
}

std::vector<CpuidEntry> AmdHost() {
  return {
      {0, 0, false, 0x10, kAuthentic, 0, 0},
      {1, 0, false, 0x00a20f10, 0x05100800, 1 << 3, 1 << 28},
      {0xb, 0, true, 1, 2, 1 << 8, 5},
      {0x80000001, 0, false, 0, 0, 1 << 1, 0},
      {0x80000008, 0, false, 48, 0, 0x400f, 0},
      {0x8000001d, 0, true, 1 << 14 | 1 << 5 | 1, 0, 63, 0},
      {0x8000001d, 1, true, 15 << 14 | 3 << 5 | 3, 0, 63, 0},
      {0x8000001e, 0, false, 5, 0x101, 0x300, 0},
  };
}

const CpuidEntry* Find(const std::vector<CpuidEntry>& table, uint32_t function, uint32_t index = 0) {
  for (const CpuidEntry& entry : table) {
    if (entry.function == function && entry.index == index) return &entry;
  }
  return nullptr;
}

TEST(ApicId, FieldsAreAsWideAsTheyNeedToBe) {
  // Three threads take two bits, three cores two: the ids have holes.
  const CpuTopology topology{.sockets = 2, .cores_per_socket = 3, .threads_per_core = 3};
  EXPECT_EQ(ApicId(topology, 0), 0u);
  EXPECT_EQ(ApicId(topology, 2), 2u);
  EXPECT_EQ(ApicId(topology, 3), 1u << 2);
  EXPECT_EQ(ApicId(topology, 9), 1u << 4);
  EXPECT_EQ(ApicId(topology, 17), 1u << 4 | 2u << 2 | 2u);
}

// Linux, cacheinfo_amd_init_llc_id: on family 17h up to model 1fh the last-level cache is ApicId >> 3.
TEST(ApicId, SocketsAreEightIdsApart) {
  const CpuTopology topology{.sockets = 2, .cores_per_socket = 2, .threads_per_core = 1};
  EXPECT_EQ(ApicId(topology, 1), 1u);
  EXPECT_EQ(ApicId(topology, 2), 8u);
  EXPECT_EQ(Find(GuestCpuid(IntelHost(), {.topology = topology}), 0xb, 1)->eax, 3u);
  // Where ids would need more than a byte, only as far as they need to be.
  EXPECT_EQ(ApicId({.sockets = 64, .cores_per_socket = 2, .threads_per_core = 1}, 126), 126u);
}

TEST(ApicId, IsUnique) {
  for (const CpuTopology& topology : {CpuTopology{1, 1, 1}, CpuTopology{4, 5, 2}, CpuTopology{2, 64, 1}}) {
    std::set<uint32_t> ids;
    for (uint32_t vcpu = 0; vcpu < topology.vcpus(); ++vcpu) ids.insert(ApicId(topology, vcpu));
    EXPECT_EQ(ids.size(), topology.vcpus());
  }
}

TEST(CpuTopology, NumbersThatWrapAreNotSmall) {
  EXPECT_EQ((CpuTopology{2, 2, 2}.vcpus()), 8u);
  EXPECT_EQ((CpuTopology{0x80000001, 2, 1}.vcpus()), ~uint32_t{0});
  EXPECT_EQ((CpuTopology{0x10000, 0x10000, 0x10000}.vcpus()), ~uint32_t{0});
  EXPECT_EQ((CpuTopology{0xffffffff, 0xffffffff, 0}.vcpus()), 0u);
}

TEST(GuestCpuid, ExtendedTopologyIsTheGuestsOwn) {
  // SDM 2A, CPUID leaf 0BH: EAX the shift to the next level, EBX logical processors at this level, ECX level
  // number and type (1 SMT, 2 core), EDX the x2APIC id.
  const GuestCpuidOptions options{.topology = {2, 3, 2}, .vcpu = 7};
  const auto table = GuestCpuid(IntelHost(), options);
  const uint32_t id = ApicId(options.topology, 7);
  for (const uint32_t leaf : {0xbu, 0x1fu}) {
    const CpuidEntry *threads = Find(table, leaf, 0), *cores = Find(table, leaf, 1),
                     *end = Find(table, leaf, 2);
    ASSERT_TRUE(threads && cores && end);
    EXPECT_EQ(threads->eax, 1u);
    EXPECT_EQ(threads->ebx, 2u);
    EXPECT_EQ(threads->ecx, 0x100u);
    EXPECT_EQ(cores->eax, 3u);
    EXPECT_EQ(cores->ebx, 6u);
    EXPECT_EQ(cores->ecx, 0x201u);
    EXPECT_EQ(end->ebx, 0u);
    EXPECT_EQ(end->ecx & 0xff00, 0u);  // The list ends here: the host's die level is gone.
    for (const CpuidEntry* entry : {threads, cores, end}) EXPECT_EQ(entry->edx, id);
  }
  EXPECT_EQ(Find(table, 0xb, 3), nullptr);
}

TEST(GuestCpuid, Leaf1CarriesTheGuestsApicIdAndCount) {
  const auto table = GuestCpuid(IntelHost(), {.topology = {1, 4, 2}, .vcpu = 5});
  const CpuidEntry* leaf = Find(table, 1);
  EXPECT_EQ(leaf->ebx >> 24, 5u);
  EXPECT_EQ(leaf->ebx >> 16 & 0xff, 8u);
  EXPECT_EQ(leaf->ebx & 0xffff, 0x0800u);  // CLFLUSH and brand stay the host's.
  EXPECT_TRUE(leaf->edx & 1 << 28);
  EXPECT_TRUE(leaf->ecx & 1u << 31);
  EXPECT_TRUE(leaf->ecx & 1 << 21);  // x2APIC.
}

TEST(GuestCpuid, ASingleCpuHasNoThreads) {
  const auto table = GuestCpuid(IntelHost(), {.topology = {1, 1, 1}, .vcpu = 0});
  EXPECT_FALSE(Find(table, 1)->edx & 1 << 28);
  EXPECT_EQ(Find(table, 0xb, 0)->ebx, 1u);
  EXPECT_EQ(Find(table, 0xb, 0)->eax, 0u);
}

TEST(GuestCpuid, PromisesNothingThatIsNotThere) {
  const auto without = GuestCpuid(IntelHost(), {.topology = {1, 1, 1}});
  EXPECT_FALSE(Find(without, 1)->ecx & 1 << 3);   // MONITOR
  EXPECT_FALSE(Find(without, 1)->ecx & 1 << 24);  // TSC deadline
  const auto with = GuestCpuid(IntelHost(), {.topology = {1, 1, 1}, .tsc_deadline_timer = true});
  EXPECT_TRUE(Find(with, 1)->ecx & 1 << 24);
}

TEST(GuestCpuid, NoLeafIsThereTwiceAndTheHighestIsNamed) {
  for (const auto& host : {IntelHost(), AmdHost()}) {
    const auto table = GuestCpuid(host, {.topology = {2, 2, 2}, .vcpu = 3, .tsc_khz = 2'000'000});
    std::set<std::pair<uint32_t, uint32_t>> seen;
    uint32_t highest = 0;
    for (const CpuidEntry& entry : table) {
      EXPECT_TRUE(seen.emplace(entry.function, entry.index).second) << std::hex << entry.function;
      if (entry.function < 0x40000000) highest = std::max(highest, entry.function);
    }
    EXPECT_GE(Find(table, 0)->eax, highest);
  }
}

TEST(GuestCpuid, CachesAreSharedAsTheTopologySays) {
  // Leaf 4, EAX 25:14: "maximum number of addressable IDs for logical processors sharing this cache", less
  // one.
  const auto table = GuestCpuid(IntelHost(), {.topology = {2, 4, 2}, .vcpu = 0});
  EXPECT_EQ(Find(table, 4, 0)->eax >> 14 & 0xfff, 1u);
  EXPECT_EQ(Find(table, 4, 1)->eax >> 14 & 0xfff, 7u);
  EXPECT_EQ(Find(table, 4, 0)->eax >> 26, 3u);
  EXPECT_EQ(Find(table, 4, 2)->eax, 0u);  // The end of the list stays the end.
}

TEST(GuestCpuid, AmdLeavesAreTheGuestsOwn) {
  const GuestCpuidOptions options{.topology = {2, 4, 2}, .vcpu = 11};
  const auto table = GuestCpuid(AmdHost(), options);
  const uint32_t id = ApicId(options.topology, 11);
  EXPECT_EQ(Find(table, 0x80000008)->ecx & 0xff, 7u);       // NC: threads of a package, less one.
  EXPECT_EQ(Find(table, 0x80000008)->ecx >> 12 & 0xf, 3u);  // ApicIdSize
  EXPECT_EQ(Find(table, 0x8000001e)->eax, id);
  EXPECT_EQ(Find(table, 0x8000001e)->ebx >> 8 & 0xff, 1u);  // Threads of a core, less one.
  EXPECT_EQ(Find(table, 0x8000001e)->ecx & 0xff, 1u);       // Node.
  EXPECT_EQ(Find(table, 0x8000001d, 0)->eax >> 14 & 0xfff, 1u);
  EXPECT_EQ(Find(table, 0x8000001d, 1)->eax >> 14 & 0xfff, 7u);
  EXPECT_TRUE(Find(table, 0x80000001)->ecx & 1 << 1);
}

TEST(GuestCpuid, LargePackagesDoNotSpillIntoOtherFields) {
  const auto amd = GuestCpuid(AmdHost(), {.topology = {1, 256, 2}, .vcpu = 0});
  EXPECT_EQ(Find(amd, 0x80000008)->ecx & 0xff, 0xffu);
  EXPECT_EQ(Find(amd, 0x80000008)->ecx >> 8 & 0xf, 0u);
  const auto intel = GuestCpuid(IntelHost(), {.topology = {1, 256, 2}, .vcpu = 0});
  EXPECT_EQ(Find(intel, 1)->ebx >> 16 & 0xff, 255u);
  EXPECT_EQ(Find(intel, 4, 0)->eax >> 26, 0x3fu);
}

TEST(GuestCpuid, TheTscsFrequencyIsToldWhereItIsKnown) {
  EXPECT_EQ(Find(GuestCpuid(IntelHost(), {.topology = {}}), 0x40000010), nullptr);
  const auto table = GuestCpuid(IntelHost(), {.topology = {}, .tsc_khz = 2'500'000});
  ASSERT_NE(Find(table, 0x40000010), nullptr);
  EXPECT_EQ(Find(table, 0x40000010)->eax, 2'500'000u);
  EXPECT_EQ(Find(table, 0x40000000)->eax, 0x40000010u);
}

}  // namespace
}  // namespace berth::kvm

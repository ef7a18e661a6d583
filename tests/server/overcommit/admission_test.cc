#include "server/overcommit/admission.h"

#include <gmock/gmock.h>

#include "base/bytes.h"
#include "tests/fakes/made_host.h"

namespace berth::server {
namespace {

using testing::HasSubstr;

// 16 CPUs and 30 GiB for guests, of which half is promised.
const HostUse kUse{.cores = 8,
                   .vcpus = 8,
                   .shared_cpus = 16,
                   .shared_millicpus = 8000,
                   .dedicable_cpus = 8,
                   .memory_bytes = 30 * kGiB,
                   .promised_bytes = 15 * kGiB};

GuestDemand Guest(int vcpus, uint64_t memory_bytes) {
  return {.size = {.memory_bytes = memory_bytes, .vcpus = vcpus}};
}

TEST(Admission, CountsByTheRatio) {
  const auto admission = Admit({.cpu_ratio = 4000, .memory_ratio = 1500}, Guest(2, kGiB), kUse, {});
  ASSERT_TRUE(admission) << admission.error().message();
  EXPECT_EQ(admission->millicpus_per_shared_vcpu, 250);
  EXPECT_EQ(admission->memory_permille, 667);
  EXPECT_GT(admission->overhead_bytes, kMonitorBytes);
}

TEST(Admission, AReservationCountsIfItIsMore) {
  GuestDemand guest = Guest(2, kGiB);
  guest.policy.cpu_reservation_percent = 50;
  guest.policy.memory_reservation_percent = 80;
  const auto admission = Admit({.cpu_ratio = 4000, .memory_ratio = 2000}, guest, kUse, {});
  ASSERT_TRUE(admission) << admission.error().message();
  EXPECT_EQ(admission->millicpus_per_shared_vcpu, 500);
  EXPECT_EQ(admission->memory_permille, 800);
  EXPECT_GE(admission->memory_reserved_bytes, kGiB / 100 * 80 + admission->overhead_bytes);
}

TEST(Admission, PassthroughCountsInFull) {
  GuestDemand guest = Guest(2, kGiB);
  guest.passthrough = true;
  const auto admission = Admit({.cpu_ratio = 4000, .memory_ratio = 2000}, guest, kUse, {});
  ASSERT_TRUE(admission) << admission.error().message();
  EXPECT_EQ(admission->millicpus_per_shared_vcpu, 1000);
  EXPECT_EQ(admission->memory_permille, 1000);
  guest.policy.memory_limit_percent = 50;
  EXPECT_EQ(Admit({}, guest, kUse, {}).error().reason(), "OVERCOMMITTED_PASSTHROUGH");
}

TEST(Admission, MemoryInHugePagesIsNotOvercommitted) {
  GuestDemand guest = Guest(2, kGiB);
  guest.size.page_size_bytes = 2 * kMiB;
  EXPECT_EQ(Admit({.memory_ratio = 2000}, guest, kUse, {})->memory_permille, 1000);
}

TEST(Admission, ARefusalForCpusShowsTheSum) {
  const auto refused = Admit({.cpu_ratio = 1000}, Guest(9, kGiB), kUse, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(refused.error().reason(), "NOT_ENOUGH_SHARED_CPUS");
  EXPECT_EQ(
      refused.error().message(),
      "9 shared vCPUs at a cpu-ratio of 1 count for 9 CPUs; of 16 CPUs to share 8 are promised, 8 left");
}

TEST(Admission, ARefusalForMemoryShowsTheSum) {
  const auto refused = Admit({.memory_ratio = 2000}, Guest(1, 32 * kGiB), kUse, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "NOT_ENOUGH_MEMORY");
  EXPECT_THAT(refused.error().message(), HasSubstr("32 GiB at a memory-ratio of 2 count for 16 GiB"));
  EXPECT_THAT(refused.error().message(), HasSubstr("of 30 GiB for guests 15 GiB are promised, 15 GiB left"));
}

TEST(Admission, WhatIsForGuestsMayBeLessThanThereIs) {
  HostPolicy policy;
  policy.memory.guest_memory_bytes = 16 * kGiB;
  EXPECT_THAT(Admit(policy, Guest(1, 2 * kGiB), kUse, {}).error().message(),
              HasSubstr("of 16 GiB for guests 15 GiB are promised, 1 GiB left"));
}

TEST(Admission, NoGuestIsWiderThanItsHost) {
  EXPECT_EQ(Admit({}, Guest(17, kGiB), kUse, {}).error().reason(), "GUEST_WIDER_THAN_HOST");
  GuestDemand guest = Guest(9, kGiB);
  guest.dedicated_vcpus = 9;
  EXPECT_EQ(Admit({}, guest, kUse, {}).error().reason(), "NOT_ENOUGH_HOST_CPUS");
}

TEST(Admission, ManyVcpusACoreAreWarnedOf) {
  HostUse use = kUse;
  use.vcpus = 79;
  EXPECT_TRUE(Admit({.cpu_ratio = 10'000}, Guest(1, kGiB), use, {})->warnings.empty());
  const auto admission = Admit({.cpu_ratio = 10'000}, Guest(2, kGiB), use, {});
  ASSERT_EQ(admission->warnings.size(), 1u);
  EXPECT_THAT(admission->warnings[0], HasSubstr("81 vCPUs on 8 cores"));
}

TEST(Admission, WeightsFollowSharesAndWidthAndLimitsTheVcpus) {
  GuestDemand guest = Guest(4, kGiB);
  guest.policy = {.cpu_limit_percent = 50, .cpu_shares = 200, .memory_limit_percent = 75};
  const auto admission = Admit({}, guest, kUse, {});
  ASSERT_TRUE(admission) << admission.error().message();
  EXPECT_EQ(admission->cpu_weight, 800);
  EXPECT_EQ(admission->cpu_limit_millicpus, 2000);
  EXPECT_LT(admission->memory_limit_bytes, kGiB);
}

TEST(Admission, BadPoliciesAreRefused) {
  const auto reason = [](const GuestPolicy& policy) {
    GuestDemand guest = Guest(1, kGiB);
    guest.policy = policy;
    const auto admission = Admit({}, guest, kUse, {});
    return admission ? "" : admission.error().reason();
  };
  EXPECT_EQ(reason({.cpu_shares = 0}), "BAD_POLICY");
  EXPECT_EQ(reason({.cpu_shares = 10'001}), "BAD_POLICY");
  EXPECT_EQ(reason({.cpu_reservation_percent = 50, .cpu_limit_percent = 49}), "BAD_POLICY");
  EXPECT_EQ(reason({.memory_reservation_percent = 50, .memory_limit_percent = 49}), "BAD_POLICY");
  EXPECT_EQ(reason({.memory_reservation_percent = 101}), "BAD_POLICY");
}

TEST(Admission, AHostsUseIsThatOfItsNodes) {
  const HostModel model = MakeHostModel(Make(host::MadeHost{}), {});
  const Ledger ledger = {{.guest = "guests/a",
                          .dedicated_cpus = {0, 1},
                          .memory = {{.host_node = 1, .size_bytes = kGiB}},
                          .shared_cpus = {{.host_node = 0, .millicpus = 1500}}}};
  const HostUse use = UseOf(model, RoomBeside(model, ledger), 4 * kKiB, 3);
  EXPECT_EQ(use.shared_cpus, 14);
  EXPECT_EQ(use.dedicable_cpus, 12);
  EXPECT_EQ(use.shared_millicpus, 1500);
  EXPECT_EQ(use.promised_bytes, kGiB);
}

// A guest of 1 GiB in pages of 4 KiB: 512 tables of 512 entries of 8 bytes, the one above them, and its own.
TEST(Overhead, PageTablesByArithmetic) {
  EXPECT_EQ(PageTableBytes({.memory_bytes = kGiB}), (512 + 1 + 1) * 4 * kKiB);
  EXPECT_EQ(PageTableBytes({.memory_bytes = kGiB, .assigned_devices = 2}), 2 * (512 + 1 + 1) * 4 * kKiB);
  EXPECT_EQ(PageTableBytes({.memory_bytes = kGiB, .page_size_bytes = 2 * kMiB}), (1 + 1) * 4 * kKiB);
}

TEST(Overhead, FollowsWhatWasMeasured) {
  const GuestSize guest{.memory_bytes = kGiB, .vcpus = 2};
  const uint64_t before = OverheadBytes(guest, {});
  EXPECT_LT(OverheadBytes(guest, {{guest, 8 * kMiB}}), before);
  const uint64_t after = OverheadBytes(guest, {{guest, 8 * kMiB}, {guest, 90 * kMiB}});
  EXPECT_EQ(after, PageTableBytes(guest) + 90 * kMiB);
  // A larger guest is not thought to take less than a smaller one took.
  EXPECT_GT(OverheadBytes({.memory_bytes = kGiB, .vcpus = 64}, {{guest, 90 * kMiB}}), 90 * kMiB);
  EXPECT_GE(OverheadBytes({.memory_bytes = kGiB, .vcpus = 1}, {{guest, 90 * kMiB}}), 90 * kMiB);
}

}  // namespace
}  // namespace berth::server

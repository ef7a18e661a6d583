#include "vfio/bind/sriov.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/control/record.h"
#include "host/pci.h"
#include "tests/fakes/fake_kernel.h"
#include "vfio/bind/driver.h"

namespace berth::vfio {
namespace {

using host::Crash;
using host::Difference;
using host::FakeKernel;
using host::HostTree;
using host::PciAddress;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr PciAddress kPf{0, 0x41, 0, 0}, kVf0{0, 0x41, 0x10, 0}, kVf1{0, 0x41, 0x10, 2};
constexpr char kPlace[] = "sys/devices/pci0000:41/0000:41:00.0/";

class SriovTest : public ::testing::Test {
 protected:
  SriovTest() : kernel_(tree_) {
    tree_.AddDriver("vfio-pci");
    tree_.AddDriver("igbvf");
    tree_.AddFunction({.address = "0000:41:00.0", .iommu_group = 10, .driver = "igb"});
    tree_.AddSriov("0000:41:00.0", 7, 128, 2, 0x10ca, 20);
    kernel_.SetDriverFor("8086:10ca", "igbvf");
  }
  VfCountChange Plan(int count) { return PlanVfs(tree_.roots(), kPf, count, {}).value(); }
  std::string Count() { return tree_.Read(std::string(kPlace) + "sriov_numvfs"); }
  std::string Autoprobe() { return tree_.Read(std::string(kPlace) + "sriov_drivers_autoprobe"); }
  std::string DriverOf(const PciAddress& address) { return ReadPciFunction(tree_.roots(), address)->driver; }

  HostTree tree_;
  FakeKernel kernel_;
};

TEST_F(SriovTest, MakesVfsWithoutHostDrivers) {
  const auto vfs = CreateVfs(kernel_.control(), Plan(2));
  ASSERT_TRUE(vfs) << vfs.error().ToString();
  EXPECT_THAT(*vfs, ElementsAre(kVf0, kVf1));
  EXPECT_EQ(DriverOf(kVf0), "");
  EXPECT_EQ(Autoprobe(), "1\n");
}

TEST_F(SriovTest, PutsTheNumberBack) {
  const auto before = tree_.Dump();
  const VfCountChange change = Plan(3);
  ASSERT_TRUE(CreateVfs(kernel_.control(), change));
  ASSERT_TRUE(RestoreVfs(kernel_.control(), change, {}));
  EXPECT_EQ(Difference(before, tree_.Dump()), "");
  EXPECT_TRUE(RestoreVfs(kernel_.control(), change, {}));
}

// Writing any number destroys all VFs first; the complaint of many.
TEST_F(SriovTest, NeverTouchesTheNumberWhenThereAreEnough) {
  ASSERT_TRUE(CreateVfs(kernel_.control(), Plan(4)));
  const size_t changes = kernel_.log().size();
  const VfCountChange change = Plan(2);
  EXPECT_TRUE(change.changes_nothing());
  EXPECT_EQ(CreateVfs(kernel_.control(), change)->size(), 4u);
  EXPECT_TRUE(RestoreVfs(kernel_.control(), change, {}));
  EXPECT_EQ(kernel_.log().size(), changes);
  EXPECT_EQ(Count(), "4\n");
}

TEST_F(SriovTest, RefusesToGrowTheNumberWhileVfsAreInUse) {
  ASSERT_TRUE(CreateVfs(kernel_.control(), Plan(2)));
  const auto claimed = PlanVfs(tree_.roots(), kPf, 3, {kVf1});
  ASSERT_FALSE(claimed);
  EXPECT_EQ(claimed.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(claimed.error().reason(), "VFS_IN_USE");
  EXPECT_THAT(claimed.error().message(), HasSubstr("0000:41:10.2 (claimed)"));
  ASSERT_TRUE(Bind(kernel_.control(), PlanBind(tree_.roots(), kVf0).value()));
  const auto bound = PlanVfs(tree_.roots(), kPf, 3, {});
  ASSERT_FALSE(bound);
  EXPECT_THAT(bound.error().message(), HasSubstr("0000:41:10.0 (driver vfio-pci)"));
}

TEST_F(SriovTest, GrowsTheNumberByWayOfZeroWhenNobodyUsesThem) {
  ASSERT_TRUE(CreateVfs(kernel_.control(), Plan(2)));
  const VfCountChange change = Plan(5);
  EXPECT_EQ(CreateVfs(kernel_.control(), change)->size(), 5u);
  ASSERT_TRUE(RestoreVfs(kernel_.control(), change, {}));
  EXPECT_EQ(Count(), "2\n");
}

TEST_F(SriovTest, RefusesToTakeVfsFromTheirUsers) {
  const VfCountChange change = Plan(2);
  ASSERT_TRUE(CreateVfs(kernel_.control(), change));
  const DriverChange binding = PlanBind(tree_.roots(), kVf0).value();
  ASSERT_TRUE(Bind(kernel_.control(), binding));
  EXPECT_EQ(RestoreVfs(kernel_.control(), change, {}).error().reason(), "VFS_IN_USE");
  ASSERT_TRUE(Restore(kernel_.control(), binding));
  EXPECT_EQ(RestoreVfs(kernel_.control(), change, {kVf1}).error().reason(), "VFS_IN_USE");
  EXPECT_TRUE(RestoreVfs(kernel_.control(), change, {}));
  EXPECT_EQ(Count(), "0\n");
}

TEST_F(SriovTest, LeavesANumberThatSomebodyElseSet) {
  const VfCountChange change = Plan(2);
  ASSERT_TRUE(CreateVfs(kernel_.control(), change));
  ASSERT_EQ(kernel_.Write(tree_.path() + "/" + kPlace + "sriov_numvfs", "0", {}), 0);
  ASSERT_EQ(kernel_.Write(tree_.path() + "/" + kPlace + "sriov_numvfs", "6", {}), 0);
  EXPECT_TRUE(RestoreVfs(kernel_.control(), change, {}));
  EXPECT_EQ(Count(), "6\n");
}

TEST_F(SriovTest, TellsWhyTheKernelRefuses) {
  const auto before = tree_.Dump();
  kernel_.Fail("sriov_numvfs", ENOMEM, 1);
  const auto vfs = CreateVfs(kernel_.control(), Plan(2));
  ASSERT_FALSE(vfs);
  EXPECT_EQ(vfs.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(vfs.error().reason(), "VFS_NOT_CREATED");
  EXPECT_THAT(vfs.error().message(), HasSubstr("pci=realloc"));
  EXPECT_EQ(Difference(before, tree_.Dump()), "");  // Autoprobe as well.
}

TEST_F(SriovTest, FindsOutThatVfsDoNotAppear) {
  kernel_.Ignore("sriov_numvfs", 1);
  const auto before = tree_.Dump();
  const auto vfs = CreateVfs(kernel_.control(), Plan(2));
  ASSERT_FALSE(vfs);
  EXPECT_EQ(vfs.error().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(vfs.error().reason(), "VFS_NOT_SETTLED");
  EXPECT_EQ(Difference(before, tree_.Dump()), "");
}

TEST_F(SriovTest, FindsOutThatVfsHaveNoIommuGroup) {
  tree_.AddSriov("0000:41:00.0", 7, 128, 2, 0x10ca, -1);
  const auto vfs = CreateVfs(kernel_.control(), Plan(2));
  ASSERT_FALSE(vfs);
  EXPECT_EQ(vfs.error().reason(), "VFS_NOT_SETTLED");
  EXPECT_EQ(Count(), "0\n");
}

TEST_F(SriovTest, PlanRefusesWhatCannotBe) {
  EXPECT_EQ(PlanVfs(tree_.roots(), kPf, 8, {}).error().code(), Code::kOutOfRange);
  EXPECT_EQ(PlanVfs(tree_.roots(), kPf, 8, {}).error().reason(), "TOO_MANY_VFS");
  EXPECT_EQ(PlanVfs(tree_.roots(), kPf, 0, {}).error().reason(), "TOO_MANY_VFS");
  EXPECT_EQ(PlanVfs(tree_.roots(), kVf0, 1, {}).error().reason(), "DEVICE_NOT_FOUND");
  ASSERT_TRUE(CreateVfs(kernel_.control(), Plan(1)));
  EXPECT_EQ(PlanVfs(tree_.roots(), kVf0, 1, {}).error().reason(), "NOT_A_PHYSICAL_FUNCTION");
  tree_.AddFunction({.address = "0000:42:00.0"});
  tree_.AddSriov("0000:42:00.0", 7, 128, 2, 0x10ca, 30);
  EXPECT_EQ(PlanVfs(tree_.roots(), PciAddress{0, 0x42, 0, 0}, 1, {}).error().reason(),
            "VFS_NOT_CREATED");  // No driver.
}

class SriovCrashTest : public SriovTest, public ::testing::WithParamInterface<int> {};

TEST_P(SriovCrashTest, IsUndoneAfterACrashAtEveryStepFromWhatWasStored) {
  const int original = GetParam();
  if (original != 0) {
    ASSERT_TRUE(CreateVfs(kernel_.control(), Plan(original)));
  }
  const auto before = tree_.Dump();
  bool crashed = true;
  for (int step = 1; crashed; ++step) {
    ASSERT_LT(step, 100);
    const std::string stored = host::Encode(Plan(4));
    crashed = false;
    kernel_.CrashAt(step, step % 2 == 0);
    try {
      ASSERT_TRUE(CreateVfs(kernel_.control(), host::Decode<VfCountChange>(stored).value()));
    } catch (const Crash&) {
      crashed = true;
    }
    kernel_.CrashAt(0, false);
    ASSERT_TRUE(RestoreVfs(kernel_.control(), host::Decode<VfCountChange>(stored).value(), {}));
    ASSERT_EQ(Difference(before, tree_.Dump()), "") << "after step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(FromNoneAndFromSome, SriovCrashTest, ::testing::Values(0, 2));

}  // namespace
}  // namespace berth::vfio

#include "mdev/vgpu_type.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/control/record.h"
#include "host/pci.h"
#include "tests/fakes/fake_kernel.h"

namespace berth::mdev {
namespace {

using host::Crash;
using host::Difference;
using host::FakeKernel;
using host::HostTree;
using ::testing::HasSubstr;

const host::PciAddress kFunction = host::PciAddress::Parse("0000:08:00.4").value();

class VgpuTypeTest : public ::testing::Test {
 protected:
  VgpuTypeTest() : kernel_(tree_) {
    tree_.AddFunction({.address = "0000:08:00.4", .driver = "nvidia"});
    tree_.AddFunction({.address = "0000:08:00.5", .driver = "nvidia"});
    tree_.AddVendorVgpu("0000:08:00.4", "1147  : NVIDIA L40S-1Q\n1148  : NVIDIA L40S-2Q\n");
  }
  int TypeNow() const { return host::ReadPciFunction(tree_.roots(), kFunction)->vgpu->current_type; }
  VgpuTypeChange Plan(int type = 1148) { return PlanVgpuType(tree_.roots(), kFunction, type).value(); }

  HostTree tree_;
  FakeKernel kernel_;
};

TEST_F(VgpuTypeTest, SetsAndClears) {
  const auto before = tree_.Dump();
  const VgpuTypeChange change = Plan();
  ASSERT_TRUE(SetVgpuType(kernel_.control(), change));
  EXPECT_EQ(TypeNow(), 1148);
  ASSERT_TRUE(ClearVgpuType(kernel_.control(), change));
  EXPECT_EQ(Difference(before, tree_.Dump()), "");
  EXPECT_TRUE(ClearVgpuType(kernel_.control(), change));
}

TEST_F(VgpuTypeTest, SaysWhatTheFunctionCouldBecome) {
  const auto change = PlanVgpuType(tree_.roots(), kFunction, 9);
  ASSERT_FALSE(change);
  EXPECT_EQ(change.error().reason(), "MDEV_TYPE_NOT_FOUND");
  EXPECT_THAT(change.error().message(), HasSubstr("1147 (NVIDIA L40S-1Q), 1148 (NVIDIA L40S-2Q)"));
}

TEST_F(VgpuTypeTest, LeavesAloneWhatIsAVgpuAlreadyOrCannotBeOne) {
  ASSERT_TRUE(SetVgpuType(kernel_.control(), Plan()));
  EXPECT_EQ(PlanVgpuType(tree_.roots(), kFunction, 1147).error().reason(), "VGPU_IN_USE");
  EXPECT_TRUE(ClearVgpuType(kernel_.control(), {.address = kFunction, .type = 1147})) << "not ours";
  EXPECT_EQ(TypeNow(), 1148);
  const auto other = host::PciAddress::Parse("0000:08:00.5").value();
  EXPECT_EQ(PlanVgpuType(tree_.roots(), other, 1147).error().reason(), "NOT_A_VGPU");
}

TEST_F(VgpuTypeTest, TellsHowItFailed) {
  const VgpuTypeChange change = Plan();
  kernel_.Fail("current_vgpu_type", ENOSPC, 1);
  EXPECT_EQ(SetVgpuType(kernel_.control(), change).error().reason(), "NO_MDEV_INSTANCE_LEFT");
  kernel_.Fail("current_vgpu_type", EIO, 1);
  EXPECT_EQ(SetVgpuType(kernel_.control(), change).error().reason(), "VGPU_TYPE_NOT_SET");
  kernel_.Ignore("current_vgpu_type", 1);
  EXPECT_THAT(SetVgpuType(kernel_.control(), change).error().message(), HasSubstr("reports success but"));
  ASSERT_TRUE(SetVgpuType(kernel_.control(), change));
  kernel_.Fail("current_vgpu_type", EBUSY, 1);
  EXPECT_EQ(ClearVgpuType(kernel_.control(), change).error().reason(), "VGPU_BUSY");
  kernel_.Fail("current_vgpu_type", ETIMEDOUT, 1);
  EXPECT_EQ(ClearVgpuType(kernel_.control(), change).error().code(), Code::kDeadlineExceeded);
  EXPECT_TRUE(ClearVgpuType(kernel_.control(), change));
}

TEST_F(VgpuTypeTest, IsUndoneAfterACrashAtEveryStepFromWhatWasStored) {
  const auto before = tree_.Dump();
  for (const bool crash_before : {true, false}) {
    const std::string stored = host::Encode(Plan());
    kernel_.CrashAt(1, crash_before);
    EXPECT_THROW((void)SetVgpuType(kernel_.control(), host::Decode<VgpuTypeChange>(stored).value()), Crash);
    ASSERT_TRUE(ClearVgpuType(kernel_.control(), host::Decode<VgpuTypeChange>(stored).value()));
    EXPECT_EQ(Difference(before, tree_.Dump()), "");
  }
}

}  // namespace
}  // namespace berth::mdev

#include "vfio/bind/driver.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/control/record.h"
#include "host/pci.h"
#include "tests/fakes/fake_kernel.h"

namespace berth::vfio {
namespace {

using host::Crash;
using host::Difference;
using host::FakeKernel;
using host::HostTree;
using host::PciAddress;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr PciAddress kNic{0, 1, 0, 0};
constexpr char kPlace[] = "sys/devices/pci0000:01/0000:01:00.0/";

class DriverTest : public ::testing::Test {
 protected:
  DriverTest() : kernel_(tree_) {
    tree_.AddDriver("vfio-pci");
    tree_.AddFunction({.address = "0000:01:00.0", .iommu_group = 7, .driver = "igb"});
    kernel_.SetDriverFor("8086:10c9", "igb");
  }
  std::string Driver() { return ReadPciFunction(tree_.roots(), kNic)->driver; }
  std::string Override() { return ReadPciFunction(tree_.roots(), kNic)->driver_override; }

  HostTree tree_;
  FakeKernel kernel_;
};

TEST_F(DriverTest, BindsByOverrideUnbindAndProbeInThatOrder) {
  const DriverChange change = PlanBind(tree_.roots(), kNic).value();
  EXPECT_EQ(change.original_driver, "igb");
  EXPECT_EQ(change.original_override, "");
  EXPECT_THAT(kernel_.log(), ElementsAre());  // A plan changes nothing.
  ASSERT_TRUE(Bind(kernel_.control(), change));
  EXPECT_EQ(Driver(), "vfio-pci");
  EXPECT_THAT(kernel_.log(), ElementsAre("sys/bus/pci/devices/0000:01:00.0/driver_override=vfio-pci",
                                         "sys/bus/pci/drivers/igb/unbind=0000:01:00.0",
                                         "sys/bus/pci/drivers_probe=0000:01:00.0"));
}

TEST_F(DriverTest, PutsEverythingBack) {
  const auto before = tree_.Dump();
  const DriverChange change = PlanBind(tree_.roots(), kNic).value();
  ASSERT_TRUE(Bind(kernel_.control(), change));
  ASSERT_TRUE(Restore(kernel_.control(), change));
  EXPECT_EQ(Difference(before, tree_.Dump()), "");
  ASSERT_TRUE(Restore(kernel_.control(), change));  // Again: nothing left to do.
  EXPECT_EQ(Difference(before, tree_.Dump()), "");
}

TEST_F(DriverTest, KeepsAnOverrideAndANonDriverThatWereThereBefore) {
  tree_.Write(std::string(kPlace) + "driver_override", "pci-stub\n");
  tree_.Remove(std::string(kPlace) + "driver");
  const auto before = tree_.Dump();
  const DriverChange change = PlanBind(tree_.roots(), kNic).value();
  ASSERT_TRUE(Bind(kernel_.control(), change));
  EXPECT_EQ(Driver(), "vfio-pci");
  ASSERT_TRUE(Restore(kernel_.control(), change));
  EXPECT_EQ(Difference(before, tree_.Dump()), "");
}

TEST_F(DriverTest, LeavesAFunctionThatIsOnVfioAlreadyAsItIs) {
  tree_.Link(std::string(kPlace) + "driver", "sys/bus/pci/drivers/vfio-pci");
  const DriverChange change = PlanBind(tree_.roots(), kNic).value();
  ASSERT_TRUE(Bind(kernel_.control(), change));
  ASSERT_TRUE(Restore(kernel_.control(), change));
  EXPECT_EQ(Driver(), "vfio-pci");
  EXPECT_THAT(kernel_.log(), ElementsAre());
}

// drivers_probe reports success also when no driver takes the function.
TEST_F(DriverTest, FindsOutThatNobodyTookTheFunction) {
  kernel_.RefuseProbe("vfio-pci");
  const auto before = tree_.Dump();
  const DriverChange change = PlanBind(tree_.roots(), kNic).value();
  const Status bound = Bind(kernel_.control(), change);
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(bound.error().reason(), "BIND_FAILED");
  EXPECT_THAT(bound.error().message(), HasSubstr("no driver has it"));
  EXPECT_EQ(Difference(before, tree_.Dump()), "");  // Back with igb.
}

TEST_F(DriverTest, ReportsADriverThatDoesNotLetGo) {
  kernel_.Fail("/igb/unbind", ETIMEDOUT);
  const Status bound = Bind(kernel_.control(), PlanBind(tree_.roots(), kNic).value());
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(bound.error().reason(), "UNBIND_TIMED_OUT");
  EXPECT_THAT(bound.error().metadata(),
              ElementsAre(::testing::Pair("device", "0000:01:00.0"), ::testing::Pair("driver", "igb")));
  EXPECT_EQ(Override(), "");
}

TEST_F(DriverTest, ReportsAnUnbindThatFailsOrDoesNothing) {
  kernel_.Fail("/igb/unbind", EBUSY, 1);
  const Status busy = Bind(kernel_.control(), PlanBind(tree_.roots(), kNic).value());
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().reason(), "UNBIND_FAILED");
  EXPECT_THAT(busy.error().message(), HasSubstr("Device or resource busy"));
  kernel_.Ignore("/igb/unbind", 1);
  const Status ignored = Bind(kernel_.control(), PlanBind(tree_.roots(), kNic).value());
  ASSERT_FALSE(ignored);
  EXPECT_EQ(ignored.error().reason(), "UNBIND_FAILED");
  EXPECT_THAT(ignored.error().message(), HasSubstr("reports success but the driver stays"));
  EXPECT_EQ(Driver(), "igb");
  EXPECT_EQ(Override(), "");
}

TEST_F(DriverTest, WaitsForADriverThatIsBusyForAMoment) {
  const DriverChange change = PlanBind(tree_.roots(), kNic).value();
  ASSERT_TRUE(Bind(kernel_.control(), change));
  kernel_.Fail("/igb/bind", EBUSY, 2);
  EXPECT_TRUE(Restore(kernel_.control(std::chrono::minutes(1)), change));
  EXPECT_EQ(Driver(), "igb");
}

TEST_F(DriverTest, ReportsAnOriginalDriverThatDoesNotTakeTheFunctionBack) {
  const DriverChange change = PlanBind(tree_.roots(), kNic).value();
  ASSERT_TRUE(Bind(kernel_.control(), change));
  kernel_.Fail("/igb/bind", EBUSY, -1);
  const Status restored = Restore(kernel_.control(), change);
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().reason(), "RESTORE_FAILED");
  EXPECT_THAT(restored.error().message(), HasSubstr("Device or resource busy"));
  tree_.Remove("sys/bus/pci/drivers/igb");
  EXPECT_THAT(Restore(kernel_.control(), change).error().message(), HasSubstr("not loaded any more"));
}

TEST_F(DriverTest, AFailureToPutBackIsToldBesideTheFirst) {
  kernel_.RefuseProbe("vfio-pci");
  kernel_.RefuseProbe("igb");
  const Status bound = Bind(kernel_.control(), PlanBind(tree_.roots(), kNic).value());
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().reason(), "BIND_FAILED");
  EXPECT_THAT(bound.error().metadata(),
              ::testing::Contains(::testing::Pair("restoreError", HasSubstr("igb"))));
}

TEST_F(DriverTest, RestoreLeavesOtherPeoplesDoingsAlone) {
  const DriverChange change = PlanBind(tree_.roots(), kNic).value();
  ASSERT_TRUE(Bind(kernel_.control(), change));
  tree_.AddDriver("uio_pci_generic");
  tree_.Link(std::string(kPlace) + "driver", "sys/bus/pci/drivers/uio_pci_generic");
  ASSERT_TRUE(Restore(kernel_.control(), change));
  EXPECT_EQ(Driver(), "uio_pci_generic");
}

TEST_F(DriverTest, RestoreIsDoneWhenTheFunctionIsGoneOrAnother) {
  const DriverChange change = PlanBind(tree_.roots(), kNic).value();
  ASSERT_TRUE(Bind(kernel_.control(), change));
  tree_.RemoveFunction("0000:01:00.0");
  EXPECT_TRUE(Restore(kernel_.control(), change));
  tree_.AddFunction({.address = "0000:01:00.0", .device_id = 0x1533, .iommu_group = 7, .driver = "vfio-pci"});
  EXPECT_TRUE(Restore(kernel_.control(), change));
  EXPECT_EQ(Driver(), "vfio-pci");
  EXPECT_EQ(Bind(kernel_.control(), change).error().reason(), "DEVICE_NOT_FOUND");
}

TEST_F(DriverTest, IsUndoneAfterACrashAtEveryStepFromWhatWasStored) {
  const auto before = tree_.Dump();
  int crashes = 0;
  for (int step = 1; step <= 3; ++step) {
    for (const bool crash_before : {true, false}) {
      const std::string stored = host::Encode(PlanBind(tree_.roots(), kNic).value());
      kernel_.CrashAt(step, crash_before);
      try {
        (void)Bind(kernel_.control(), host::Decode<DriverChange>(stored).value());
      } catch (const Crash&) {
        ++crashes;
      }
      ASSERT_TRUE(Restore(kernel_.control(), host::Decode<DriverChange>(stored).value()));
      ASSERT_EQ(Difference(before, tree_.Dump()), "") << "after step " << step;
    }
  }
  EXPECT_EQ(crashes, 6);
}

TEST_F(DriverTest, ARestoreThatCrashesIsFinishedByTheNext) {
  const auto before = tree_.Dump();
  for (int step = 1; step <= 3; ++step) {
    const DriverChange change = PlanBind(tree_.roots(), kNic).value();
    ASSERT_TRUE(Bind(kernel_.control(), change));
    kernel_.CrashAt(step, false);
    EXPECT_THROW((void)Restore(kernel_.control(), change), Crash);
    ASSERT_TRUE(Restore(kernel_.control(), change));
    ASSERT_EQ(Difference(before, tree_.Dump()), "") << "after step " << step;
  }
}

TEST_F(DriverTest, PlanRefusesWhatCannotBeAssigned) {
  const auto reason = [&](const PciAddress& address, const std::string& driver = kVfioPci) {
    const auto change = PlanBind(tree_.roots(), address, driver);
    return change ? "" : change.error().reason();
  };
  EXPECT_EQ(reason(kNic, "igb"), "NOT_A_VFIO_DRIVER");
  EXPECT_EQ(reason(kNic, "../../x/vfio-pci"), "NOT_A_VFIO_DRIVER");
  EXPECT_EQ(reason({0, 9, 0, 0}), "DEVICE_NOT_FOUND");
  EXPECT_EQ(reason(kNic, "mlx5_vfio_pci"), "VFIO_DRIVER_NOT_LOADED");
  tree_.AddFunction({.address = "0000:02:00.0"});
  EXPECT_EQ(reason({0, 2, 0, 0}), "NO_IOMMU_GROUP");
  tree_.AddFunction({.address = "0000:03:00.0", .class_code = 0x060400, .iommu_group = 8});
  EXPECT_EQ(reason({0, 3, 0, 0}), "DEVICE_IS_BRIDGE");
  // A BAR that firmware and kernel gave no address reads as 0.
  tree_.AddFunction({.address = "0000:04:00.0",
                     .iommu_group = 9,
                     .resource = "0x0000000000000000 0x0000000000ffffff 0x0000000000040200\n"});
  EXPECT_EQ(reason({0, 4, 0, 0}), "BAR_UNASSIGNED");
  tree_.AddSriov("0000:01:00.0", 7, 128, 2, 0x10ca, 20);
  EXPECT_EQ(reason(kNic), "");
  ASSERT_EQ(kernel_.Write(tree_.path() + "/" + kPlace + "sriov_numvfs", "1", {}), 0);
  EXPECT_EQ(reason(kNic), "VFS_ENABLED");
}

}  // namespace
}  // namespace berth::vfio

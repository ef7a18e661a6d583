#include "vfio/bind/group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/host_tree.h"

namespace berth::vfio {
namespace {

using host::HostTree;
using host::PciAddress;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr PciAddress kWanted{0, 1, 0, 0}, kNeighbour{0, 1, 0, 1};

// Two functions and their bridge in one group, as behind a bridge without ACS.
class GroupTest : public ::testing::Test {
 protected:
  void Build(const std::string& neighbours_driver) {
    tree_.AddFunction(
        {.address = "0000:00:01.0", .class_code = 0x060400, .iommu_group = 7, .driver = "pcieport"});
    tree_.AddFunction(
        {.address = "0000:01:00.0", .iommu_group = 7, .driver = "igb", .parent = "0000:00:01.0"});
    tree_.AddFunction(
        {.address = "0000:01:00.1", .iommu_group = 7, .driver = neighbours_driver, .parent = "0000:00:01.0"});
    tree_.AddFunction({.address = "0000:02:00.0", .iommu_group = 8, .driver = "nvme"});
  }
  GroupReport Check(const std::vector<PciAddress>& assigned) {
    return CheckGroup(host::ReadHost(tree_.roots()).value(), kWanted, assigned).value();
  }

  HostTree tree_;
};

TEST_F(GroupTest, NamesWhoIsInTheWayAndWhatWouldFixIt) {
  Build("e1000e");
  const GroupReport report = Check({kWanted});
  EXPECT_EQ(report.group, 7);
  EXPECT_THAT(report.members, ElementsAre(PciAddress{0, 0, 1, 0}, kWanted, kNeighbour));
  ASSERT_EQ(report.obstacles.size(), 1u);  // The bridge's driver is none.
  EXPECT_EQ(report.obstacles[0].address, kNeighbour);
  EXPECT_EQ(report.obstacles[0].driver, "e1000e");
  const Status viable = RequireViable(report);
  ASSERT_FALSE(viable);
  EXPECT_EQ(viable.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(viable.error().reason(), "IOMMU_GROUP_NOT_VIABLE");
  EXPECT_EQ(viable.error().message(),
            "IOMMU group 7 cannot be used: 0000:01:00.1 (8086:10c9) is used by the host's driver e1000e. To "
            "fix it: "
            "assign 0000:01:00.1 to the same guest, or unbind it from e1000e");
  EXPECT_THAT(viable.error().metadata(),
              ::testing::Contains(::testing::Pair("obstacles", "0000:01:00.1=e1000e")));
}

TEST_F(GroupTest, IsViableWhenTheNeighbourComesAlong) {
  Build("e1000e");
  EXPECT_TRUE(RequireViable(Check({kWanted, kNeighbour})));
}

TEST_F(GroupTest, IsViableWithANeighbourWithoutADriverOrOnAVfioDriver) {
  for (const char* driver : {"", "vfio-pci", "pci-stub", "mlx5_vfio_pci", "nvgrace-gpu-vfio-pci"}) {
    HostTree tree;
    tree.AddFunction({.address = "0000:01:00.0", .iommu_group = 7, .driver = "igb"});
    tree.AddFunction({.address = "0000:01:00.1", .iommu_group = 7, .driver = driver});
    const auto report = CheckGroup(host::ReadHost(tree.roots()).value(), kWanted, {});
    EXPECT_TRUE(report->viable()) << driver;
  }
}

TEST_F(GroupTest, TellsAHostWithoutIommuFromAFunctionWithout) {
  tree_.AddFunction({.address = "0000:01:00.0", .driver = "igb"});
  const auto none = CheckGroup(host::ReadHost(tree_.roots()).value(), kWanted, {});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().reason(), "NO_IOMMU_GROUP");
  EXPECT_THAT(none.error().message(), HasSubstr("intel_iommu=on"));
  tree_.AddFunction({.address = "0000:02:00.0", .iommu_group = 8});
  const auto one = CheckGroup(host::ReadHost(tree_.roots()).value(), kWanted, {});
  EXPECT_THAT(one.error().message(), HasSubstr("no IOMMU of the host serves this function"));
}

TEST_F(GroupTest, SaysWhichFunctionIsUnknown) {
  const auto report = CheckGroup(host::ReadHost(tree_.roots()).value(), kWanted, {});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().reason(), "DEVICE_NOT_FOUND");
}

}  // namespace
}  // namespace berth::vfio

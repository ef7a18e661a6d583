#include "vfio/bind/open.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_kernel.h"

namespace berth::vfio {
namespace {

using host::HostTree;
using host::PciAddress;

TEST(GroupOf, TellsTheGroupOfAFunctionAndOfAMediatedDevice) {
  HostTree tree;
  host::FakeKernel kernel(tree);
  tree.AddFunction({.address = "0000:01:00.0", .iommu_group = 7});
  tree.AddFunction({.address = "0000:02:00.0"});
  tree.AddMdevType("sys/devices/virtual/mtty/mtty", "mtty-2", 1);
  const std::string uuid = "7c0c6c05-0d00-4007-9c5a-b07b0c6c05de";
  ASSERT_EQ(
      kernel.Write(tree.path() + "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-2/create", uuid, {}), 0);
  EXPECT_EQ(GroupOf(tree.roots(), PciAddress{0, 1, 0, 0}).value(), 7);
  EXPECT_EQ(GroupOf(tree.roots(), PciAddress{0, 2, 0, 0}).error().reason(), "NO_IOMMU_GROUP");
  EXPECT_EQ(GroupOf(tree.roots(), PciAddress{0, 3, 0, 0}).error().reason(), "DEVICE_NOT_FOUND");
  EXPECT_EQ(GroupOf(tree.roots(), uuid).value(), 901);
  EXPECT_EQ(GroupOf(tree.roots(), "7c0c6c05-0d00-4007-9c5a-b07b0c6c05df").error().reason(),
            "DEVICE_NOT_FOUND");
}

TEST(OpenContainer, SaysWhatToLoad) {
  HostTree tree;
  const auto container = OpenContainer(tree.roots());
  ASSERT_FALSE(container);
  EXPECT_EQ(container.error().reason(), "VFIO_NOT_AVAILABLE");
  EXPECT_THAT(container.error().message(), ::testing::HasSubstr("modprobe vfio-pci"));
  tree.Write("dev/vfio/vfio", "");  // Something, but not VFIO.
  EXPECT_EQ(OpenContainer(tree.roots()).error().reason(), "VFIO_NOT_AVAILABLE");
}

TEST(OpenGroup, TellsAGroupWithoutAVfioDevice) {
  HostTree tree;
  const auto group = OpenGroup(tree.roots(), 7);
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(group.error().reason(), "GROUP_HAS_NO_VFIO_DEVICE");
  tree.Write("dev/vfio/7", "");
  EXPECT_EQ(OpenGroup(tree.roots(), 7).error().code(), Code::kInternal);  // Not a group: ENOTTY.
}

}  // namespace
}  // namespace berth::vfio

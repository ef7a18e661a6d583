#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/iommu.h"
#include "host/mdev.h"
#include "host/mdev_definition.h"
#include "host/network.h"
#include "tests/fakes/fake_kernel.h"
#include "tests/fakes/host_tree.h"

namespace berth::host {
namespace {

using ::testing::ElementsAre;

TEST(ReadIommuGroups, TellsMembersAndReservedRegions) {
  HostTree tree;
  tree.AddFunction({.address = "0000:00:1f.2", .iommu_group = 10});
  tree.AddFunction({.address = "0000:00:1f.0", .iommu_group = 10});
  tree.AddFunction({.address = "0000:01:00.0", .iommu_group = 9});
  tree.AddFunction({.address = "0000:02:00.0"});  // No IOMMU serves it.
  tree.Write("sys/kernel/iommu_groups/9/reserved_regions",
             "0x000000fd00000000 0x000000ffffffffff reserved\n0xfee00000 0xfeefffff msi\nnonsense\n0x9 0x1 "
             "direct\n");
  tree.Write("sys/kernel/iommu_groups/9/devices/7c0c6c05-0d00-4007-9c5a-b07b0c6c05de/x", "");
  tree.Write("sys/kernel/iommu_groups/x9/type", "DMA\n");
  const auto groups = ReadIommuGroups(tree.roots());
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].id, 9);
  EXPECT_EQ(groups[0].type, "DMA");
  EXPECT_THAT(groups[0].others, ElementsAre("7c0c6c05-0d00-4007-9c5a-b07b0c6c05de"));
  EXPECT_EQ(groups[0].reserved_regions, (std::vector<ReservedRegion>{{0xfd00000000, 0xffffffffff, "reserved"},
                                                                     {0xfee00000, 0xfeefffff, "msi"}}));
  EXPECT_THAT(groups[1].functions, ElementsAre(PciAddress{0, 0, 0x1f, 0}, PciAddress{0, 0, 0x1f, 2}));
}

constexpr char kUuid[] = "7c0c6c05-0d00-4007-9c5a-b07b0c6c05de";

TEST(ReadMdevDefinitions, TellsWhatIsDefinedWithMdevctl) {
  HostTree tree;
  tree.Write("etc/mdevctl.d/0000:08:00.4/7C0C6C05-0D00-4007-9C5A-B07B0C6C05DE",
             R"({"mdev_type": "nvidia-742", "start": "auto",
                 "attrs": [{"nvidia/vgpu_params": "a=1"}, {"nvidia/x": "2"}]})");
  tree.Write("etc/mdevctl.d/mtty/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", R"({"mdev_type": "mtty-2"})");
  tree.Write("etc/mdevctl.d/mtty/README", "not one");
  tree.Write("etc/mdevctl.d/scripts.d/callouts/x.sh", "#!/bin/sh\n");
  const auto definitions = ReadMdevDefinitions(tree.roots());
  ASSERT_EQ(definitions.size(), 2u);
  EXPECT_EQ(definitions[0],
            (MdevDefinition{.uuid = kUuid,
                            .parent = "0000:08:00.4",
                            .type = "nvidia-742",
                            .starts_with_host = true,
                            .attributes = {{"nvidia/vgpu_params", "a=1"}, {"nvidia/x", "2"}}}));
  EXPECT_EQ(definitions[1].type, "mtty-2");
  EXPECT_FALSE(definitions[1].starts_with_host);
}

TEST(ReadMdevDefinitions, SaysWhatIsWrongWithOne) {
  for (const auto& [text, why] : std::vector<std::pair<std::string, std::string>>{
           {"", "no JSON object"},
           {"[]", "no JSON object"},
           {std::string(100'000, '['), "no JSON object"},
           {"{}", "no mdev_type"},
           {R"({"mdev_type": 7})", "no mdev_type"},
           {R"({"mdev_type": "x", "attrs": {}})", "no list"},
           {R"({"mdev_type": "x", "attrs": [{"a": 1}]})", "no name with a text"},
           {R"({"mdev_type": "x", "attrs": [{}]})", "no name with a text"}}) {
    const auto definition = ParseMdevDefinition(kUuid, "mtty", text);
    ASSERT_FALSE(definition) << text;
    EXPECT_EQ(definition.error().reason(), "BAD_DEFINITION");
    EXPECT_THAT(definition.error().message(), ::testing::HasSubstr(why));
  }
}

TEST(ReadMdev, TellsParentsTypesAndInstances) {
  HostTree tree;
  FakeKernel kernel(tree);
  tree.AddFunction({.address = "0000:08:01.7", .numa_node = 1, .driver = "nvidia"});
  tree.AddMdevType(tree.FunctionPath("0000:08:01.7"), "nvidia-742", 3);
  tree.AddMdevType("sys/devices/virtual/mtty/mtty", "mtty-2", 12);
  const std::string uuid = "7c0c6c05-0d00-4007-9c5a-b07b0c6c05de";
  ASSERT_EQ(
      kernel.Write(tree.path() + "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-2/create", uuid, {}), 0);

  const auto parents = ReadMdevParents(tree.roots());
  ASSERT_EQ(parents.size(), 2u);
  EXPECT_EQ(parents[0].address, (PciAddress{0, 8, 1, 7}));
  EXPECT_EQ(parents[0].numa_node, 1);
  EXPECT_EQ(parents[0].FindType("nvidia-742")->name, "Name of nvidia-742");
  EXPECT_EQ(parents[1].name, "mtty");
  EXPECT_FALSE(parents[1].address);
  EXPECT_EQ(parents[1].FindType("mtty-2")->available_instances, 11);
  EXPECT_EQ(parents[1].FindType("mtty-1"), nullptr);

  const auto instances = ReadMdevInstances(tree.roots());
  ASSERT_EQ(instances.size(), 1u);
  EXPECT_EQ(instances[0].uuid, uuid);
  EXPECT_EQ(instances[0].parent, "mtty");
  EXPECT_EQ(instances[0].type, "mtty-2");
  EXPECT_TRUE(instances[0].iommu_group);
}

TEST(ReadNetInterfaces, TellsBridgesPortsAndFunctions) {
  HostTree tree;
  tree.AddFunction({.address = "0000:04:00.0", .driver = "igb"});
  tree.AddInterface("eth0", "0000:04:00.0");
  tree.AddInterface("br0", "");
  tree.Write("sys/devices/virtual/net/br0/bridge/bridge_id", "8000.000000000000\n");
  tree.Link(tree.FunctionPath("0000:04:00.0") + "/net/eth0/master", "sys/devices/virtual/net/br0");
  tree.Write("sys/class/net/bonding_masters", "\n");
  const auto interfaces = ReadNetInterfaces(tree.roots());
  ASSERT_EQ(interfaces.size(), 2u);
  EXPECT_TRUE(interfaces[0].bridge);
  EXPECT_FALSE(interfaces[0].address);
  EXPECT_EQ(interfaces[1].name, "eth0");
  EXPECT_EQ(interfaces[1].master, "br0");
  EXPECT_EQ(interfaces[1].mtu, 1500u);
  EXPECT_EQ(interfaces[1].address, (PciAddress{0, 4, 0, 0}));
}

}  // namespace
}  // namespace berth::host

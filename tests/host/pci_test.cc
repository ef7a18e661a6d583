#include "host/pci.h"

#include <sys/stat.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/pci_names.h"
#include "tests/fakes/fake_kernel.h"
#include "tests/fakes/host_tree.h"

namespace berth::host {
namespace {

using ::testing::ElementsAre;

TEST(ReadPciFunctions, TellsAFunction) {
  HostTree tree;
  tree.AddFunction({.address = "0000:00:03.0", .class_code = 0x060400, .driver = "pcieport"});
  tree.AddFunction({.address = "0000:08:00.0",
                    .vendor_id = 0x10de,
                    .device_id = 0x25b6,
                    .class_code = 0x030200,
                    .iommu_group = 38,
                    .numa_node = 1,
                    .driver = "nvidia",
                    .parent = "0000:00:03.0"});
  tree.Write(
      "usr/share/misc/pci.ids",
      "# comment\n10de  NVIDIA Corporation\n\t25b6  GA107GL [A2 / A16]\n\t\t10de 157e  A2\nC 03  Display "
      "controller\n\t02  3D controller\n");
  const auto functions = ReadPciFunctions(tree.roots());
  ASSERT_EQ(functions.size(), 2u);
  const PciFunction& function = functions[1];
  EXPECT_EQ(Describe(function), "0000:08:00.0 (NVIDIA Corporation GA107GL [A2 / A16])");
  EXPECT_EQ(function.class_name, "3D controller");
  EXPECT_EQ(function.class_code, 0x030200u);
  EXPECT_EQ(function.iommu_group, 38);
  EXPECT_EQ(function.numa_node, 1);
  EXPECT_EQ(function.driver, "nvidia");
  EXPECT_EQ(function.driver_override, "");  // The kernel writes "(null)".
  EXPECT_EQ(function.parent, (PciAddress{0, 0, 3, 0}));
  EXPECT_THAT(function.reset_methods, ElementsAre("flr", "bus"));
  EXPECT_EQ(function.bars, (std::vector<PciBar>{{.index = 0, .address = 0xe0000000, .size_bytes = 0x20000}}));
  EXPECT_TRUE(functions[0].is_bridge());
  EXPECT_FALSE(functions[0].parent);
  EXPECT_FALSE(functions[0].numa_node);  // -1: the firmware does not say.
}

TEST(ReadPciFunctions, LinksVfsAndTheirPf) {
  HostTree tree;
  FakeKernel kernel(tree);
  tree.AddFunction({.address = "0000:41:00.0", .iommu_group = 10, .driver = "igb"});
  tree.AddSriov("0000:41:00.0", 7, 128, 2, 0x10ca, 20);
  ASSERT_EQ(kernel.Write(tree.path() + "/sys/bus/pci/devices/0000:41:00.0/sriov_numvfs", "2", {}), 0);
  const auto functions = ReadPciFunctions(tree.roots());
  ASSERT_EQ(functions.size(), 3u);
  ASSERT_TRUE(functions[0].sriov);
  EXPECT_EQ(functions[0].sriov->total_vfs, 7);
  EXPECT_THAT(functions[0].sriov->vfs,
              ElementsAre(PciAddress{0, 0x41, 0x10, 0}, PciAddress{0, 0x41, 0x10, 2}));
  EXPECT_EQ(functions[2].address.ToString(), "0000:41:10.2");
  EXPECT_EQ(functions[2].physical_function, functions[0].address);
  EXPECT_EQ(functions[2].vf_index, 1);
  EXPECT_EQ(ReadPciFunction(tree.roots(), functions[2].address)->vf_index, 1);
}

TEST(ReadPciFunctions, TellsWideBarsAndThoseWithoutAnAddress) {
  HostTree tree;
  tree.AddFunction({.address = "0000:08:00.0",
                    .resource =
                        "0x0000000000000000 0x0000000000ffffff 0x0000000020040200\n"  // IORESOURCE_UNSET
                        "0x0000039000000000 0x00000393ffffffff 0x000000000014220c\n"
                        "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
                        "0x0000000000002020 0x000000000000203f 0x0000000000040101\n"
                        "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
                        "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
                        "0x0000000094680000 0x00000000946fffff 0x0000000000046200\n"
                        "0x0000039400000000 0x0000039bffffffff 0x000000000014220c\n"});  // Of the VFs.
  const auto function = ReadPciFunction(tree.roots(), PciAddress{0, 8, 0, 0});
  ASSERT_TRUE(function);
  EXPECT_EQ(function->bars,
            (std::vector<PciBar>{
                {.index = 0, .address = 0, .size_bytes = 0x1000000},
                {.index = 1,
                 .address = 0x39000000000,
                 .size_bytes = 0x400000000,
                 .is_64bit = true,
                 .prefetchable = true},
                {.index = 3, .address = 0x2020, .size_bytes = 0x20, .io = true},
                {.index = 6, .address = 0x94680000, .size_bytes = 0x80000, .prefetchable = true}}));
}

TEST(ReadPciFunctions, SurvivesFunctionsOfNonsense) {
  HostTree tree;
  const std::string place = "sys/devices/pci0000:00/0000:00:05.0/";
  tree.Link("sys/bus/pci/devices/0000:00:05.0", place);
  tree.Write(place + "vendor", "none\n");
  tree.Write(place + "resource",
             "0x 0x 0x\n\n1 2 3\n0xffffffffffffffff 0x0 0x200\n0x0 0xffffffffffffffff 0x200\n");
  tree.Write(place + "numa_node", "99999999999999999\n");
  tree.Write(place + "sriov_totalvfs", "-3\n");
  tree.Write(place + "sriov_numvfs", "2147483647\n");
  tree.Link(place + "virtfn0", "sys/devices/nowhere");
  tree.Link(place + "virtfn99999999999", "sys/devices/pci0000:00/0000:00:05.0");
  tree.Link(place + "iommu_group", "sys/kernel/iommu_groups/x");
  tree.Link(place + "physfn", "sys/devices");
  tree.Link("sys/bus/pci/devices/0000:00:06.0",
            "sys/devices/gone");  // Gone between the listing and the reading.
  tree.Write("sys/bus/pci/devices/not-an-address/vendor", "0x8086\n");
  tree.Write("sys/bus/pci/devices/0000:00:07.0", "a file\n");
  const auto functions = ReadPciFunctions(tree.roots());
  ASSERT_EQ(functions.size(), 1u);
  EXPECT_EQ(functions[0].vendor_id, 0);
  EXPECT_TRUE(functions[0].bars.empty());
  EXPECT_FALSE(functions[0].iommu_group);
  EXPECT_FALSE(functions[0].physical_function);
  EXPECT_EQ(functions[0].sriov->total_vfs, 0);
  EXPECT_LE(functions[0].sriov->vfs.size(), 65535u);
}

TEST(ReadPciFunctions, DoesNotBlockOnAFifo) {
  HostTree tree;
  tree.AddFunction({.address = "0000:00:05.0"});
  tree.Remove(tree.FunctionPath("0000:00:05.0") + "/numa_node");
  ASSERT_EQ(::mkfifo((tree.path() + "/" + tree.FunctionPath("0000:00:05.0") + "/numa_node").c_str(), 0600),
            0);
  EXPECT_EQ(ReadPciFunctions(tree.roots()).size(), 1u);
}

TEST(ReadPciFunction, SaysWhichIsMissing) {
  HostTree tree;
  const auto function = ReadPciFunction(tree.roots(), PciAddress{0, 8, 0, 0});
  ASSERT_FALSE(function);
  EXPECT_EQ(function.error().code(), Code::kNotFound);
  EXPECT_EQ(function.error().reason(), "DEVICE_NOT_FOUND");
}

TEST(PciNames, FallsBackToTheBaseClass) {
  const PciNames names = PciNames::Parse("C 02  Network controller\n\t00  Ethernet controller\n");
  EXPECT_EQ(names.Class(0x020000), "Ethernet controller");
  EXPECT_EQ(names.Class(0x02ff00), "Network controller");
  EXPECT_EQ(names.Class(0xff0000), "");
  EXPECT_EQ(names.Vendor(0x8086), "");
}

TEST(PciNames, PassesOverLinesThatMakeNoSense) {
  const PciNames names =
      PciNames::Parse("\t1234  Orphan\n8086 Intel\nzzzz  Nobody\n\t0001  Nothing\n1af4  Red Hat\n\t\n\t1000");
  EXPECT_EQ(names.Vendor(0x8086), "");
  EXPECT_EQ(names.Device(0x8086, 0x1234), "");
  EXPECT_EQ(names.Vendor(0x1af4), "Red Hat");
}

}  // namespace
}  // namespace berth::host

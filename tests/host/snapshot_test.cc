#include "host/snapshot.h"

#include <chrono>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_kernel.h"
#include "tests/fakes/host_tree.h"
#include "tests/fakes/umockdev.h"

namespace berth::host {
namespace {

using ::testing::ElementsAre;

TEST(ReadHost, NeedsASysfs) {
  const auto host = ReadHost(HostRoots::At("/nonexistent"));
  ASSERT_FALSE(host);
  EXPECT_EQ(host.error().reason(), "NO_SYSFS");
}

TEST(ReadHost, FindsItsParts) {
  HostTree tree;
  tree.AddCpusAndMemory(1, 2, 1, 1024);
  tree.AddFunction({.address = "0000:01:00.0", .iommu_group = 4});
  const HostSnapshot host = ReadHost(tree.roots()).value();
  EXPECT_EQ(host.kernel_release, "6.12.0-test");
  EXPECT_EQ(host.boot_id, "7e0cbd1c-4f7a-4d0e-9c1f-0a6f1c9b1b11");
  EXPECT_EQ(host.FindFunction(PciAddress{0, 1, 0, 0})->iommu_group, 4);
  EXPECT_EQ(host.FindFunction(PciAddress{0, 2, 0, 0}), nullptr);
  EXPECT_EQ(host.FindGroup(4)->functions.size(), 1u);
  EXPECT_EQ(host.FindMdevParent("mtty"), nullptr);
  EXPECT_EQ(host.FindMdev("x"), nullptr);
}

// A machine with two NVIDIA-A2-class sockets, as recorded.
class RecordedVgpuNode : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<ScratchDir>();
    const auto text = ReadGzip(BERTH_FIXTURES "/hosts/vgpu-node.umockdev.gz");
    ASSERT_TRUE(text) << text.error().ToString();
    ASSERT_TRUE(ExpandUmockdev(*text, directory_->path()));
    host_ = ReadHost(HostRoots::At(directory_->path())).value();
  }
  static void TearDownTestSuite() { directory_.reset(); }

  static std::unique_ptr<ScratchDir> directory_;
  static HostSnapshot host_;
};
std::unique_ptr<ScratchDir> RecordedVgpuNode::directory_;
HostSnapshot RecordedVgpuNode::host_;

TEST_F(RecordedVgpuNode, HasAllItsParts) {
  EXPECT_EQ(host_.functions.size(), 226u);
  EXPECT_EQ(host_.groups.size(), 109u);
  EXPECT_EQ(host_.cpus.cpus.size(), 24u);
  EXPECT_EQ(host_.interfaces.size(), 60u);
}

TEST_F(RecordedVgpuNode, HasTwoNodesOfTwelveCpus) {
  ASSERT_EQ(host_.memory.nodes.size(), 2u);
  EXPECT_EQ(host_.memory.nodes[0].cpus.ToString(), "0-5,12-17");
  EXPECT_EQ(host_.memory.nodes[1].cpus.ToString(), "6-11,18-23");
  EXPECT_EQ(host_.cpus.Find(21)->socket, 1);
  EXPECT_EQ(host_.cpus.Find(21)->core, 9);
  EXPECT_EQ(host_.cpus.Find(21)->siblings, CpuSet{21});  // Hyper-threading is off.
}

TEST_F(RecordedVgpuNode, HasTheGpu) {
  const PciFunction* gpu = host_.FindFunction(PciAddress{0, 8, 0, 0});
  ASSERT_NE(gpu, nullptr);
  EXPECT_EQ(gpu->vendor_id, 0x10de);
  EXPECT_EQ(gpu->device_id, 0x25b6);
  EXPECT_EQ(gpu->subsystem_vendor_id, 0x10de);
  EXPECT_EQ(gpu->subsystem_device_id, 0x157e);
  EXPECT_EQ(gpu->revision, 0xa1);
  EXPECT_EQ(gpu->class_code, 0x030200u);
  EXPECT_EQ(gpu->iommu_group, 38);
  EXPECT_EQ(gpu->numa_node, 0);
  EXPECT_EQ(gpu->driver, "nvidia");
  EXPECT_EQ(gpu->driver_override, "");
  EXPECT_EQ(gpu->power_state, "D0");
  EXPECT_FALSE(gpu->boot_vga);
  EXPECT_EQ(gpu->parent, (PciAddress{0, 0, 3, 0}));
  EXPECT_THAT(gpu->reset_methods, ElementsAre("flr", "bus"));
  EXPECT_EQ(gpu->bars, (std::vector<PciBar>{{.index = 0, .address = 0x93000000, .size_bytes = 0x1000000},
                                            {.index = 1,
                                             .address = 0x39000000000,
                                             .size_bytes = 0x400000000,
                                             .is_64bit = true,
                                             .prefetchable = true},
                                            {.index = 3,
                                             .address = 0x39c20000000,
                                             .size_bytes = 0x2000000,
                                             .is_64bit = true,
                                             .prefetchable = true}}));
}

TEST_F(RecordedVgpuNode, HasTheGpusSixteenVfs) {
  const PciFunction* gpu = host_.FindFunction(PciAddress{0, 8, 0, 0});
  ASSERT_TRUE(gpu->sriov);
  EXPECT_EQ(gpu->sriov->total_vfs, 16);
  EXPECT_EQ(gpu->sriov->num_vfs, 16);
  EXPECT_EQ(gpu->sriov->offset, 4);
  EXPECT_EQ(gpu->sriov->stride, 1);
  EXPECT_EQ(gpu->sriov->vf_device_id, 0x25b6);
  EXPECT_TRUE(gpu->sriov->drivers_autoprobe);
  ASSERT_EQ(gpu->sriov->vfs.size(), 16u);
  for (int i = 0; i < 16; ++i) {
    // Offset 4, stride 1 from 08:00.0: 08:00.4 to 08:02.3; groups 90 to 105.
    const PciAddress address{0, 8, static_cast<uint8_t>((4 + i) / 8), static_cast<uint8_t>((4 + i) % 8)};
    EXPECT_EQ(gpu->sriov->vfs[i], address);
    const PciFunction* vf = host_.FindFunction(address);
    ASSERT_NE(vf, nullptr) << address.ToString();
    EXPECT_EQ(vf->physical_function, gpu->address);
    EXPECT_EQ(vf->vf_index, i);
    EXPECT_EQ(vf->iommu_group, 90 + i);
    EXPECT_EQ(vf->vendor_id, 0x10de);  // Not what its configuration space says: FFFF.
    EXPECT_EQ(vf->bars.at(0).size_bytes, 0x40000u);
  }
}

TEST_F(RecordedVgpuNode, HasItsMediatedDevices) {
  ASSERT_EQ(host_.mdevs.size(), 3u);
  const MdevInstance* mdev = host_.FindMdev("f715f63c-0d00-4007-9c5a-b07b0c6c05de");
  ASSERT_NE(mdev, nullptr);
  EXPECT_EQ(mdev->parent, "0000:08:00.4");
  EXPECT_EQ(mdev->type, "nvidia-754");
  EXPECT_EQ(mdev->driver, "nvidia-vgpu-vfio");
  EXPECT_EQ(mdev->iommu_group, 106);
}

// 16 lanes of 16 GT/s in a slot of 8, idle.
TEST_F(RecordedVgpuNode, HasTheGpusLink) {
  EXPECT_EQ(host_.FindFunction(PciAddress{0, 8, 0, 0})->link,
            (PciLink{.speed_mtps = 2500, .max_speed_mtps = 16000, .width = 8, .max_width = 16}));
  EXPECT_EQ(host_.FindFunction(PciAddress{0, 8, 0, 4})->link, std::nullopt) << "a VF has its PF's";
}

TEST_F(RecordedVgpuNode, HasItsNetworkCards) {
  const PciFunction* card = host_.FindFunction(PciAddress{0, 4, 0, 1});
  ASSERT_NE(card, nullptr);
  EXPECT_THAT(card->interfaces, ElementsAre("eno50"));
  EXPECT_EQ(card->sriov->total_vfs, 63);
  EXPECT_EQ(card->sriov->num_vfs, 0);
  EXPECT_TRUE(card->sriov->vfs.empty());
  const PciFunction* display = host_.FindFunction(PciAddress{0, 1, 0, 1});
  EXPECT_TRUE(display->boot_vga);
  EXPECT_EQ(host_.FindGroup(33)->functions.size(),
            4u);  // The display shares its group with its board's controllers.
}

TEST(ReadHost, ReadsTheTypesOfARecordedVgpu) {
  HostTree tree;
  std::filesystem::copy(BERTH_FIXTURES "/hosts/nvidia-vgpu-sys", tree.path() + "/sys",
                        std::filesystem::copy_options::recursive);
  const HostSnapshot host = ReadHost(tree.roots()).value();
  const MdevParent* parent = host.FindMdevParent("0000:08:01.7");
  ASSERT_NE(parent, nullptr);
  ASSERT_EQ(parent->types.size(), 15u);
  EXPECT_EQ(parent->types.front().id, "nvidia-742");
  EXPECT_EQ(parent->types.back().id, "nvidia-756");
  EXPECT_EQ(parent->FindType("nvidia-742")->name, "NVIDIA A2-1B");
  EXPECT_EQ(parent->FindType("nvidia-742")->device_api, "vfio-pci");
  EXPECT_EQ(parent->numa_node, 0);
}

// The other surface: a virtual function that its vendor's driver makes a vGPU of.
TEST(ReadHost, ReadsTheVgpuTypesOfARecordedVirtualFunction) {
  HostTree tree;
  std::filesystem::copy(BERTH_FIXTURES "/hosts/nvidia-vgpu-sys", tree.path() + "/sys",
                        std::filesystem::copy_options::recursive);
  const HostSnapshot host = ReadHost(tree.roots()).value();
  const PciFunction* vf = host.FindFunction(PciAddress{0, 0x26, 0, 4});
  ASSERT_NE(vf, nullptr);
  ASSERT_TRUE(vf->vgpu);
  EXPECT_EQ(vf->vgpu->current_type, 0);
  ASSERT_EQ(vf->vgpu->creatable_types.size(), 23u);
  EXPECT_EQ(vf->vgpu->creatable_types.front(), (VgpuType{1145, "NVIDIA L40S-1B"}));
  EXPECT_EQ(vf->vgpu->creatable_types.back(), (VgpuType{2164, "NVIDIA L40S-3B"}));
}

}  // namespace
}  // namespace berth::host

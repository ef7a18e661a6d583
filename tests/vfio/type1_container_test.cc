#include "vfio/type1_container.h"

#include <linux/vfio.h>

#include <cerrno>

#include <gmock/gmock.h>

#include "tests/fakes/fake_vfio.h"

namespace berth::vfio {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

struct Type1ContainerTest : testing::Test {
  void SetUp() override {
    auto made = Type1Container::Create(kernel.OpenContainer(), kernel);
    ASSERT_TRUE(made) << made.error().message();
    container = std::move(*made);
  }
  DmaMapping Ram(uint64_t iova, uint64_t size) {
    return {.iova = iova, .address = reinterpret_cast<uint8_t*>(0x7f0000000000 + iova), .size = size};
  }
  std::vector<uint64_t> Iovas() {
    std::vector<uint64_t> iovas;
    for (const auto& [iova, mapping] : kernel.mappings) iovas.push_back(iova);
    return iovas;
  }

  FakeVfio kernel;
  std::unique_ptr<Type1Container> container;
  UniqueFd group = kernel.OpenGroup("7"), other_group = kernel.OpenGroup("8");
};

TEST(Type1Container, NeedsTheVersionAndTheExtensionItIsWrittenFor) {
  FakeVfio kernel;
  kernel.api_version = 1;
  EXPECT_EQ(Type1Container::Create(kernel.OpenContainer(), kernel).error().code(), Code::kUnimplemented);
  kernel.api_version = 0;
  kernel.type1v2 = false;
  EXPECT_EQ(Type1Container::Create(kernel.OpenContainer(), kernel).error().reason(), "VFIO_TYPE1_MISSING");
}

// docs/assigned-devices.md, 6: a container has no IOMMU before its first group.
TEST_F(Type1ContainerTest, EnablesTheIommuWithTheFirstGroupOnly) {
  ASSERT_TRUE(container->AddGroup(group.get()));
  ASSERT_TRUE(container->AddGroup(other_group.get()));
  EXPECT_THAT(kernel.calls(),
              ElementsAre(VFIO_GET_API_VERSION, VFIO_CHECK_EXTENSION, VFIO_GROUP_SET_CONTAINER,
                          VFIO_SET_IOMMU, VFIO_GROUP_SET_CONTAINER));
}

TEST_F(Type1ContainerTest, MapsForReadingAndWritingOrReadingOnly) {
  ASSERT_TRUE(container->AddGroup(group.get()));
  ASSERT_TRUE(container->Map(Ram(0, kMiB)));
  DmaMapping rom = Ram(kMiB, kMiB);
  rom.writable = false;
  ASSERT_TRUE(container->Map(rom));

  EXPECT_EQ(kernel.mappings[0].flags, uint32_t{VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE});
  EXPECT_EQ(kernel.mappings[kMiB].flags, uint32_t{VFIO_DMA_MAP_FLAG_READ});
  ASSERT_TRUE(container->Unmap({0, kMiB}));
  EXPECT_THAT(Iovas(), ElementsAre(kMiB));
}

TEST_F(Type1ContainerTest, MapsWhatCameBeforeTheFirstGroupWhenItComes) {
  ASSERT_TRUE(container->Map(Ram(0, kMiB)));
  ASSERT_TRUE(container->Map(Ram(kGiB, kMiB)));
  ASSERT_TRUE(container->Unmap({0, kMiB}));
  EXPECT_EQ(kernel.Count(VFIO_IOMMU_MAP_DMA), 0);
  ASSERT_TRUE(container->AddGroup(group.get()));
  EXPECT_THAT(Iovas(), ElementsAre(kGiB));
}

// docs/assigned-devices.md, 34: the last group takes the IOMMU with it, the next one finds all mappings
// again.
TEST_F(Type1ContainerTest, MapsAnewAfterTheLastGroupLeft) {
  ASSERT_TRUE(container->AddGroup(group.get()));
  ASSERT_TRUE(container->Map(Ram(0, kMiB)));
  container->RemoveGroup(group.get());
  EXPECT_THAT(Iovas(), ElementsAre());
  ASSERT_TRUE(container->AddGroup(other_group.get()));
  EXPECT_THAT(Iovas(), ElementsAre(0));
}

TEST_F(Type1ContainerTest, LeavesTheGroupOutWhenRamCannotBeMapped) {
  kernel.memlock_bytes = kMiB;
  ASSERT_TRUE(container->Map(Ram(0, kMiB)));
  ASSERT_TRUE(container->Map(Ram(kGiB, kMiB)));
  const Status added = container->AddGroup(group.get());
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().reason(), "DMA_MEMLOCK_LIMIT");
  EXPECT_FALSE(kernel.group("7").in_container);
  kernel.memlock_bytes = kGiB;
  EXPECT_TRUE(container->AddGroup(group.get()));
}

TEST_F(Type1ContainerTest, DeviceMemoryThatCannotBeMappedDoesNotKeepAGroupOut) {
  DmaMapping bar = Ram(0xfee00000, kMiB);  // Where interrupts are written to.
  bar.device_memory = true;
  ASSERT_TRUE(container->Map(bar));
  EXPECT_TRUE(container->AddGroup(group.get()));
  EXPECT_TRUE(container->Unmap({0xfee00000, kMiB}));
  EXPECT_EQ(kernel.Count(VFIO_IOMMU_UNMAP_DMA), 0);
}

TEST_F(Type1ContainerTest, ReadsTheLimits) {
  EXPECT_FALSE(container->Limits());
  ASSERT_TRUE(container->AddGroup(group.get()));
  kernel.max_mappings = 100;
  ASSERT_TRUE(container->Map(Ram(0, kMiB)));
  const Result<DmaLimits> limits = container->Limits();
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->smallest_page(), 4 * kKiB);
  EXPECT_EQ(limits->available_mappings, 99u);
  EXPECT_THAT(limits->valid,
              ElementsAre(Range{0, 0xfee00000}, Range{0xfef00000, (uint64_t{1} << 39) - 0xfef00000}));
}

TEST_F(Type1ContainerTest, AMediatedDeviceAloneHasNoRanges) {
  kernel.valid_ranges = {};
  ASSERT_TRUE(container->AddGroup(group.get()));
  EXPECT_THAT(container->Limits()->valid, ElementsAre());
  EXPECT_TRUE(container->Map(Ram(0xfee00000, kMiB)));
}

TEST_F(Type1ContainerTest, AKernelWithoutCapabilitiesHasNoLimitsToTell) {
  kernel.info_capabilities = false;
  ASSERT_TRUE(container->AddGroup(group.get()));
  EXPECT_EQ(container->Limits()->available_mappings, std::nullopt);
}

TEST_F(Type1ContainerTest, ALoopOfCapabilitiesEnds) {
  kernel.looping_capabilities = true;
  ASSERT_TRUE(container->AddGroup(group.get()));
  EXPECT_EQ(container->Limits()->valid.size(), 2u);
}

// docs/assigned-devices.md, 30.
TEST_F(Type1ContainerTest, SaysWhatIsWrongWithTheHost) {
  kernel.FailCall(VFIO_SET_IOMMU, 1, EPERM);
  EXPECT_EQ(container->AddGroup(group.get()).error().reason(), "INTERRUPT_REMAPPING_MISSING");
  kernel.FailCall(VFIO_SET_IOMMU, 1, ENODEV);
  EXPECT_EQ(container->AddGroup(group.get()).error().reason(), "NO_IOMMU");
  ASSERT_TRUE(container->AddGroup(group.get()));
  kernel.FailCall(VFIO_GROUP_SET_CONTAINER, 1, EINVAL);
  EXPECT_EQ(container->AddGroup(other_group.get()).error().reason(), "IOMMU_INCOMPATIBLE");
}

TEST_F(Type1ContainerTest, ExplainsWithNumbers) {
  ASSERT_TRUE(container->AddGroup(group.get()));
  const Status reserved = container->Map(Ram(0xfed00000, 4 * kMiB));
  EXPECT_EQ(reserved.error().reason(), "DMA_ADDRESS_RESERVED");
  EXPECT_THAT(reserved.error().message(), HasSubstr("0xfed00000-0xff0fffff"));
  EXPECT_THAT(reserved.error().message(), HasSubstr("0x0-0xfedfffff"));
  EXPECT_THAT(reserved.error().metadata(), testing::Contains(Pair("iova", "0xfed00000-0xff0fffff")));

  kernel.max_mappings = 0;
  EXPECT_EQ(container->Map(Ram(0, kMiB)).error().reason(), "DMA_ENTRY_LIMIT");
}

TEST_F(Type1ContainerTest, AFailedMapLeavesNothing) {
  ASSERT_TRUE(container->AddGroup(group.get()));
  kernel.FailCall(VFIO_IOMMU_MAP_DMA, 1, EFAULT);
  EXPECT_EQ(container->Map(Ram(0, kMiB)).error().reason(), "DMA_MEMORY_UNAVAILABLE");
  EXPECT_FALSE(container->Unmap({0, kMiB}));
  EXPECT_TRUE(container->Map(Ram(0, kMiB)));
}

TEST_F(Type1ContainerTest, MappingTwiceAndUnmappingAPartAreErrorsOfOurs) {
  ASSERT_TRUE(container->AddGroup(group.get()));
  ASSERT_TRUE(container->Map(Ram(0, kMiB)));
  EXPECT_EQ(container->Map(Ram(0, kMiB)).error().code(), Code::kInternal);
  EXPECT_EQ(container->Unmap({0, 4 * kKiB}).error().code(), Code::kInternal);
}

}  // namespace
}  // namespace berth::vfio

#include "hw/memory/ram.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::hw {
namespace {

using testing::HasSubstr;

UniqueFd Memory(uint64_t size) {
  UniqueFd fd(::memfd_create("ram", MFD_CLOEXEC));
  CHECK(fd && ::ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
  return fd;
}

TEST(RamBlock, IsTheFileItself) {
  UniqueFd file = Memory(kMiB);
  const UniqueFd copy = *Duplicate(file.get());
  auto block = RamBlock::Create(std::move(file), kMiB, {});
  ASSERT_TRUE(block) << block.error().message();
  (*block)->mapping().address[0x1234] = 0x77;
  uint8_t byte = 0;
  ASSERT_EQ(::pread(copy.get(), &byte, 1, 0x1234), 1);
  EXPECT_EQ(byte, 0x77);
}

TEST(RamBlock, PopulatedIsAllThere) {
  constexpr uint64_t kSize = 130 * kMiB;  // More than two threads' steps.
  auto block = RamBlock::Create(Memory(kSize), kSize, {});
  ASSERT_TRUE(block);
  const auto resident = [&] {
    std::vector<unsigned char> pages(kSize / (4 * kKiB));
    EXPECT_EQ(::mincore((*block)->mapping().address, kSize, pages.data()), 0);
    return std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; });
  };
  EXPECT_EQ(resident(), 0);
  (*block)->Populate(3);
  EXPECT_EQ(resident(), static_cast<long>(kSize / (4 * kKiB)));
}

TEST(RamBlock, ASliceKnowsWhereItIsInTheFile) {
  auto block = RamBlock::Create(Memory(kMiB), kMiB, {});
  ASSERT_TRUE(block);
  const HostMapping slice = (*block)->Slice(0x4000, 0x1000);
  EXPECT_EQ(slice.address, (*block)->mapping().address + 0x4000);
  EXPECT_EQ(slice.size, 0x1000u);
  EXPECT_EQ(slice.fd_offset, 0x4000u);
  EXPECT_EQ(slice.fd, (*block)->mapping().fd);
}

TEST(RamBlock, AFileThatIsTooShortIsRefusedWithBothSizes) {
  const auto block = RamBlock::Create(Memory(kMiB), 2 * kMiB, {});
  ASSERT_FALSE(block);
  EXPECT_EQ(block.error().code(), Code::kResourceExhausted);
  EXPECT_THAT(block.error().message(), HasSubstr("1 MiB"));
  EXPECT_THAT(block.error().message(), HasSubstr("2 MiB"));
}

TEST(RamBlock, ANumaNodeThatCannotBeIsNamed) {
  const std::array<uint32_t, 1> nodes = {100'000};
  const auto block = RamBlock::Create(Memory(kMiB), kMiB, nodes);
  ASSERT_FALSE(block);
  EXPECT_EQ(block.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(block.error().message(), HasSubstr("100000"));
}

TEST(RamBlock, MergeableMemoryIsPrivateAndWithoutAFile) {
  auto block = RamBlock::CreateMergeable(kMiB, {});
  ASSERT_TRUE(block) << block.error().message();
  EXPECT_EQ((*block)->mapping().fd, -1);
  (*block)->mapping().address[kMiB - 1] = 7;
  EXPECT_EQ((*block)->Slice(kMiB - 1, 1).address[0], 7);
}

TEST(RamBlock, ADescriptorThatIsNoFileIsRefused) {
  EXPECT_FALSE(RamBlock::Create(*CreateEventFd(), kMiB, {}));
  EXPECT_FALSE(RamBlock::Create(UniqueFd(), kMiB, {}));
}

}  // namespace
}  // namespace berth::hw

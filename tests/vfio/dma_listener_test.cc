#include "vfio/dma_listener.h"

#include <gmock/gmock.h>

#include "tests/fakes/fake_vfio.h"
#include "vfio/type1_container.h"

namespace berth::vfio {
namespace {

using testing::IsEmpty;

struct DmaListenerTest : testing::Test {
  void SetUp() override {
    container = std::move(*Type1Container::Create(kernel.OpenContainer(), kernel));
    ASSERT_TRUE(container->AddGroup(group.get()));
  }
  hw::HostMapping Host(uint64_t size) { return {reinterpret_cast<uint8_t*>(0x7f0000000000), size}; }

  FakeVfio kernel;
  UniqueFd group = kernel.OpenGroup("7");
  std::unique_ptr<Type1Container> container;
  hw::AddressSpace memory{"memory", uint64_t{1} << 46};
};

TEST_F(DmaListenerTest, MapsRamAndDeviceMemoryAtTheirGuestAddresses) {
  hw::Region ram = hw::Region::Ram("ram", Host(kGiB));
  hw::Region rom = hw::Region::Ram("rom", Host(kMiB), false);
  hw::Region bar = hw::Region::DeviceMemory("bar", Host(16 * kMiB));
  struct Nothing final : hw::IoHandler {
    uint64_t Read(uint64_t, unsigned) override { return 0; }
    void Write(uint64_t, unsigned, uint64_t) override {}
  } nothing;
  hw::Region registers = hw::Region::Io("registers", kMiB, &nothing);
  memory.root().Add(&ram, 0);
  memory.root().Add(&rom, 0xfff00000);
  memory.root().Add(&bar, 0xe0000000);
  memory.root().Add(&registers, 0xf0000000);
  { hw::AddressSpace::Transaction transaction(memory); }
  DmaListener listener(container.get());
  ASSERT_TRUE(memory.AddListener(&listener));

  ASSERT_EQ(kernel.mappings.size(), 3u);
  EXPECT_EQ(kernel.mappings[0].size, kGiB);
  EXPECT_EQ(kernel.mappings[0xe0000000].size, 16 * kMiB);
  EXPECT_EQ(kernel.mappings[0xfff00000].flags, 1u);  // Read only.
  memory.RemoveListener(&listener);
}

// docs/assigned-devices.md, 9: peer-to-peer is best effort. The hole for interrupts is reserved.
TEST_F(DmaListenerTest, DeviceMemoryThatCannotBeMappedDoesNotMatter) {
  DmaListener listener(container.get());
  ASSERT_TRUE(memory.AddListener(&listener));
  hw::Region bar = hw::Region::DeviceMemory("bar", Host(16 * kMiB));
  {
    hw::AddressSpace::Transaction transaction(memory);
    memory.root().Add(&bar, 0xfe000000);
    EXPECT_TRUE(transaction.Commit());
  }
  EXPECT_THAT(kernel.mappings, IsEmpty());
  // The guest moves it to a better place, and away again.
  {
    hw::AddressSpace::Transaction transaction(memory);
    memory.root().Remove(&bar);
    memory.root().Add(&bar, 0xe0000000);
    EXPECT_TRUE(transaction.Commit());
  }
  EXPECT_EQ(kernel.mappings.size(), 1u);
  {
    hw::AddressSpace::Transaction transaction(memory);
    memory.root().Remove(&bar);
    EXPECT_TRUE(transaction.Commit());
  }
  EXPECT_THAT(kernel.mappings, IsEmpty());
  memory.RemoveListener(&listener);
}

TEST_F(DmaListenerTest, RamThatCannotBeMappedIsAnError) {
  kernel.memlock_bytes = kMiB;
  hw::Region ram = hw::Region::Ram("ram", Host(kGiB));
  memory.root().Add(&ram, 0);
  { hw::AddressSpace::Transaction transaction(memory); }
  DmaListener listener(container.get());
  const Status added = memory.AddListener(&listener);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().reason(), "DMA_MEMLOCK_LIMIT");
}

TEST_F(DmaListenerTest, UnmapsWhatIsLeftWhenItGoes) {
  hw::Region ram = hw::Region::Ram("ram", Host(kGiB));
  memory.root().Add(&ram, 0);
  { hw::AddressSpace::Transaction transaction(memory); }
  {
    DmaListener listener(container.get());
    ASSERT_TRUE(memory.AddListener(&listener));
    memory.RemoveListener(&listener);
    EXPECT_EQ(kernel.mappings.size(), 1u);
  }
  EXPECT_THAT(kernel.mappings, IsEmpty());
}

}  // namespace
}  // namespace berth::vfio

#include "hw/memory/address_space.h"

#include <array>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::hw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Remembers accesses as text; reads answer with their offset in every byte.
class Recorder final : public IoHandler {
 public:
  uint64_t Read(uint64_t offset, unsigned size) override {
    calls.push_back(fmt::format("read {:#x}/{}", offset, size));
    uint64_t value = 0;
    for (unsigned i = 0; i < size; ++i) value |= ((offset + i) & 0xff) << (8 * i);
    return value;
  }
  void Write(uint64_t offset, unsigned size, uint64_t value) override {
    calls.push_back(fmt::format("write {:#x}/{} {:#x}", offset, size, value));
  }
  std::vector<std::string> calls;
};

// Remembers what it is told; refuses what starts at `refused`.
class Listener final : public MemoryListener {
 public:
  Status Added(const FlatRange& range) override {
    told.push_back(fmt::format("+{:#x}/{:#x}", range.start, range.size));
    if (range.start == refused) return Fail(Code::kResourceExhausted, "no room at {:#x}", range.start);
    return Ok();
  }
  void Removed(const FlatRange& range) override {
    told.push_back(fmt::format("-{:#x}/{:#x}", range.start, range.size));
  }
  void Committed() override { told.push_back("."); }
  std::vector<std::string> Take() { return std::exchange(told, {}); }

  uint64_t refused = ~uint64_t{0};
  std::vector<std::string> told;
};

class Doorbells final : public IoEventListener {
 public:
  Status Added(const FlatIoEvent& event) override {
    told.push_back(fmt::format("+{:#x}", event.address));
    if (refuse) return Fail(Code::kResourceExhausted, "no more");
    return Ok();
  }
  void Removed(const FlatIoEvent& event) override { told.push_back(fmt::format("-{:#x}", event.address)); }
  bool refuse = false;
  std::vector<std::string> told;
};

struct AddressSpaceTest : testing::Test {
  void Add(Region* region, uint64_t at, int priority = 0) {
    AddressSpace::Transaction change(space);
    space.root().Add(region, at, priority);
  }

  AddressSpace space{"test", 0x100000};
  Recorder low, high;
  Listener listener;
  ViewReader reader{space};
};

TEST_F(AddressSpaceTest, AListenerIsToldWhatIsThereAlready) {
  Region device = Region::Io("device", 0x100, &low);
  Add(&device, 0x1000);
  ASSERT_TRUE(space.AddListener(&listener));
  EXPECT_THAT(listener.Take(), ElementsAre("+0x1000/0x100", "."));
}

TEST_F(AddressSpaceTest, RemovalsAreToldBeforeAdditions) {
  Region device = Region::Io("device", 0x100, &low), other = Region::Io("other", 0x100, &high);
  Add(&device, 0x1000);
  ASSERT_TRUE(space.AddListener(&listener));
  listener.Take();
  {
    AddressSpace::Transaction change(space);
    space.root().Remove(&device);
    space.root().Add(&other, 0);
    space.root().Add(&device, 0x2000);
  }
  EXPECT_THAT(listener.Take(), ElementsAre("-0x1000/0x100", "+0x0/0x100", "+0x2000/0x100", "."));
}

TEST_F(AddressSpaceTest, ARangeThatIsCutIsRemovedAndItsPiecesAdded) {
  Region wide = Region::Io("wide", 0x1000, &low), narrow = Region::Io("narrow", 0x100, &high);
  Add(&wide, 0);
  ASSERT_TRUE(space.AddListener(&listener));
  listener.Take();
  Add(&narrow, 0x400, 1);
  EXPECT_THAT(listener.Take(), ElementsAre("-0x0/0x1000", "+0x0/0x400", "+0x400/0x100", "+0x500/0xb00", "."));
}

TEST_F(AddressSpaceTest, NestedTransactionsCommitOnce) {
  ASSERT_TRUE(space.AddListener(&listener));
  listener.Take();
  Region one = Region::Io("one", 0x10, &low), two = Region::Io("two", 0x10, &low);
  {
    AddressSpace::Transaction outer(space);
    space.root().Add(&one, 0);
    {
      AddressSpace::Transaction inner(space);
      space.root().Add(&two, 0x100);
    }
    EXPECT_THAT(listener.Take(), IsEmpty());
  }
  EXPECT_THAT(listener.Take(), ElementsAre("+0x0/0x10", "+0x100/0x10", "."));
}

TEST_F(AddressSpaceTest, NothingIsToldWhereNothingChanged) {
  Region device = Region::Io("device", 0x100, &low);
  Add(&device, 0);
  ASSERT_TRUE(space.AddListener(&listener));
  listener.Take();
  {
    AddressSpace::Transaction change(space);
    space.root().Remove(&device);
    space.root().Add(&device, 0);
  }
  EXPECT_THAT(listener.Take(), IsEmpty());
}

TEST_F(AddressSpaceTest, RamThatCannotBeMappedIsAnErrorAndDeviceMemoryIsNot) {
  std::array<uint8_t, 0x1000> bytes{};
  Region memory = Region::DeviceMemory("bar", {bytes.data(), bytes.size()});
  Region ram = Region::Ram("ram", {bytes.data(), bytes.size()});
  ASSERT_TRUE(space.AddListener(&listener));
  listener.refused = 0x1000;
  {
    AddressSpace::Transaction change(space);
    space.root().Add(&memory, 0x1000);
    EXPECT_TRUE(change.Commit());
  }
  listener.refused = 0x2000;
  AddressSpace::Transaction change(space);
  space.root().Add(&ram, 0x2000);
  const Status committed = change.Commit();
  ASSERT_FALSE(committed);
  EXPECT_EQ(committed.error().code(), Code::kResourceExhausted);
  EXPECT_THAT(committed.error().message(), HasSubstr("0x2000"));
}

TEST_F(AddressSpaceTest, ARemovedListenerIsToldNothing) {
  ASSERT_TRUE(space.AddListener(&listener));
  space.RemoveListener(&listener);
  listener.Take();
  Region device = Region::Io("device", 0x100, &low);
  Add(&device, 0);
  EXPECT_THAT(listener.Take(), IsEmpty());
}

TEST_F(AddressSpaceTest, DoorbellsMoveWithTheirRegion) {
  Doorbells doorbells;
  ASSERT_TRUE(space.AddListener(&doorbells));
  Region device = Region::Io("device", 0x100, &low);
  device.AddIoEvent({.offset = 8, .size = 2, .value = std::nullopt, .eventfd = 3});
  Add(&device, 0x1000);
  {
    AddressSpace::Transaction change(space);
    space.root().Remove(&device);
    space.root().Add(&device, 0x3000);
  }
  EXPECT_THAT(doorbells.told, ElementsAre("+0x1008", "-0x1008", "+0x3008"));
}

TEST_F(AddressSpaceTest, ADoorbellThatIsRefusedIsNoError) {
  Doorbells doorbells;
  doorbells.refuse = true;
  ASSERT_TRUE(space.AddListener(&doorbells));
  Region device = Region::Io("device", 0x100, &low);
  device.AddIoEvent({.offset = 8, .size = 2, .value = std::nullopt, .eventfd = 3});
  AddressSpace::Transaction change(space);
  space.root().Add(&device, 0);
  EXPECT_TRUE(change.Commit());
}

TEST_F(AddressSpaceTest, UnclaimedAccessesReadOnesAndAreCounted) {
  EXPECT_EQ(reader.Read(0x5000, 4), 0xffffffffu);
  EXPECT_EQ(reader.Read(0x5000, 8), ~uint64_t{0});
  const uint64_t after_reads = space.unclaimed();
  EXPECT_GT(after_reads, 0u);
  reader.Write(0x5000, 2, 0x1234);
  EXPECT_GT(space.unclaimed(), after_reads);
}

TEST_F(AddressSpaceTest, AHandlerSeesOffsetsInItsRegion) {
  Region device = Region::Io("device", 0x100, &low);
  Add(&device, 0x1000);
  EXPECT_EQ(reader.Read(0x1010, 2), 0x1110u);
  reader.Write(0x1020, 4, 0xaabbccdd);
  EXPECT_THAT(low.calls, ElementsAre("read 0x10/2", "write 0x20/4 0xaabbccdd"));
}

TEST_F(AddressSpaceTest, AnAccessAcrossTwoRegionsIsDivided) {
  Region first = Region::Io("first", 0x100, &low), second = Region::Io("second", 0x100, &high);
  Add(&first, 0x1000);
  Add(&second, 0x1100);
  EXPECT_EQ(reader.Read(0x10fe, 4), 0x0100fffeu);
  EXPECT_THAT(low.calls, ElementsAre("read 0xfe/2"));
  EXPECT_THAT(high.calls, ElementsAre("read 0x0/2"));
}

TEST_F(AddressSpaceTest, PiecesArePowersOfTwo) {
  Region first = Region::Io("first", 0x103, &low);
  Add(&first, 0x1000);
  reader.Write(0x1100, 8, 0x8877665544332211);
  EXPECT_THAT(low.calls, ElementsAre("write 0x100/2 0x2211", "write 0x102/1 0x33"));
  EXPECT_EQ(space.unclaimed(), 5u);  // The rest, a byte at a time.
}

TEST_F(AddressSpaceTest, AnAccessThatRunsOutOfARegionReadsOnesThere) {
  Region device = Region::Io("device", 0x100, &low);
  Add(&device, 0x1000);
  EXPECT_EQ(reader.Read(0x10ff, 4), 0xffffffffu);
  reader.Write(0x10ff, 4, 0x44332211);
  EXPECT_THAT(low.calls, ElementsAre("read 0xff/1", "write 0xff/1 0x11"));
}

TEST_F(AddressSpaceTest, RamIsReadAndWrittenAtAnyAlignment) {
  alignas(8) std::array<uint8_t, 0x100> bytes{};
  Region ram = Region::Ram("ram", {bytes.data(), bytes.size()});
  Add(&ram, 0);
  for (const unsigned size : {1u, 2u, 4u, 8u}) {
    for (uint64_t at : {0x10u, 0x11u, 0x13u}) {
      reader.Write(at, size, 0x8877665544332211);
      EXPECT_EQ(reader.Read(at, size), 0x8877665544332211 & AllOnes(size)) << at << "/" << size;
      EXPECT_EQ(bytes[at], 0x11);
    }
  }
}

TEST_F(AddressSpaceTest, RomKeepsWhatItHas) {
  std::array<uint8_t, 0x10> bytes{0x55, 0xaa};
  Region rom = Region::Ram("rom", {bytes.data(), bytes.size()}, false);
  Add(&rom, 0);
  reader.Write(0, 2, 0);
  EXPECT_EQ(reader.Read(0, 2), 0xaa55u);
}

TEST_F(AddressSpaceTest, DeviceMemoryThatTrapsGoesToItsHandlerNotThroughTheMapping) {
  std::array<uint8_t, 0x10> bytes{};
  Region memory = Region::DeviceMemory("bar", {bytes.data(), bytes.size()}, &low);
  Add(&memory, 0x1000);
  reader.Write(0x1004, 4, 1);
  EXPECT_THAT(low.calls, ElementsAre("write 0x4/4 0x1"));
  EXPECT_EQ(bytes[4], 0);
}

TEST_F(AddressSpaceTest, AReaderOfAnotherThreadSeesEveryCommit) {
  Region device = Region::Io("device", 0x10, &low);
  std::atomic<int> step{0};
  std::thread other([&] {
    ViewReader its(space);
    EXPECT_EQ(its.Read(0, 1), 0xffu);
    step = 1;
    while (step != 2) std::this_thread::yield();
    EXPECT_EQ(its.Read(0, 1), 0u);
  });
  while (step != 1) std::this_thread::yield();
  Add(&device, 0);
  step = 2;
  other.join();
}

// An access that does not end by itself.
class Gate final : public IoHandler {
 public:
  uint64_t Read(uint64_t, unsigned) override {
    entered = true;
    entered.notify_all();
    open.wait(false);
    left = true;
    return 0;
  }
  void Write(uint64_t, unsigned, uint64_t) override {}
  std::atomic<bool> entered{false}, open{false};
  bool left = false;
};

TEST_F(AddressSpaceTest, WaitsForAccessesThatAreUnderWay) {
  Gate gate;
  Region device = Region::Io("device", 0x10, &gate);
  Add(&device, 0);
  std::thread vcpu([this] {
    ViewReader its(space);
    EXPECT_EQ(its.Read(0, 1), 0u);
  });
  gate.entered.wait(false);
  {
    AddressSpace::Transaction change(space);
    space.root().Remove(&device);
  }
  EXPECT_EQ(reader.Read(0, 1), 0xffu);  // Others are not held up.
  std::atomic<bool> waiting{false};
  std::thread owner([&] {
    waiting = true;
    waiting.notify_all();
    space.WaitForReaders();
    EXPECT_TRUE(gate.left);
  });
  waiting.wait(false);
  gate.open = true;
  gate.open.notify_all();
  owner.join();
  vcpu.join();
}

TEST_F(AddressSpaceTest, WaitsForNobodyWhoIsOutside) {
  Region device = Region::Io("device", 0x10, &low);
  Add(&device, 0);
  reader.Read(0, 1);
  { const ViewReader gone(space); }
  space.WaitForReaders();
}

}  // namespace
}  // namespace berth::hw

#include "hw/memory/guest_memory.h"

#include <array>
#include <string>

#include <gtest/gtest.h>

#include "tests/fakes/fake_ram.h"

namespace berth::hw {
namespace {

// RAM with a hole: [0, 64 KiB) and [1 MiB, 1 MiB + 64 KiB), then one that touches it.
struct GuestMemoryTest : testing::Test {
  FakeRam ram{{{0, 0x10000}, {0x100000, 0x10000}, {0x110000, 0x10000}}};
  const GuestMemory& memory = ram.memory();
};

TEST_F(GuestMemoryTest, ValuesAreStoredLittleEndianAtAnyAlignment) {
  ASSERT_TRUE(memory.Store<uint32_t>(0x101, 0x44332211));
  EXPECT_EQ(ram.Get<uint8_t>(0x101), 0x11);
  uint32_t value = 0;
  ASSERT_TRUE(memory.Load(0x101, &value));
  EXPECT_EQ(value, 0x44332211u);
}

TEST_F(GuestMemoryTest, WhatIsNotRamIsNeitherReadNorWritten) {
  uint32_t value = 77;
  for (const uint64_t address : {uint64_t{0x10000}, uint64_t{0xfffff}, uint64_t{0x120000}, ~uint64_t{0}}) {
    EXPECT_FALSE(memory.Load(address, &value)) << address;
    EXPECT_FALSE(memory.Store(address, value)) << address;
  }
  EXPECT_EQ(value, 77u);
}

TEST_F(GuestMemoryTest, WhatIsRamInPartIsNotWritten) {
  ram.Set<uint16_t>(0xfffe, 0xbeef);
  EXPECT_FALSE(memory.Store<uint32_t>(0xfffe, 0));
  EXPECT_EQ(ram.Get<uint16_t>(0xfffe), 0xbeef);
}

TEST_F(GuestMemoryTest, SizesThatWrapAreRefused) {
  EXPECT_EQ(memory.HostBytes(0x100, ~uint64_t{0}).data(), nullptr);
  EXPECT_EQ(memory.HostBytes(~uint64_t{0} - 1, 4).data(), nullptr);
  std::vector<iovec> pieces;
  EXPECT_FALSE(memory.AppendTo({~uint64_t{0} - 1, 0xffffffff}, &pieces));
  EXPECT_TRUE(pieces.empty());
}

TEST_F(GuestMemoryTest, ABufferAcrossAdjacentRangesHasTwoPieces) {
  std::vector<iovec> pieces;
  ASSERT_TRUE(memory.AppendTo({0x10fff0, 0x30}, &pieces));
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[0].iov_len, 0x10u);
  EXPECT_EQ(pieces[0].iov_base, ram.At(0x10fff0));
  EXPECT_EQ(pieces[1].iov_len, 0x20u);
  EXPECT_EQ(pieces[1].iov_base, ram.At(0x110000));
}

TEST_F(GuestMemoryTest, ABufferThatRunsOutOfRamAddsNoPiece) {
  std::vector<iovec> pieces;
  ASSERT_TRUE(memory.AppendTo({0, 0x10}, &pieces));
  EXPECT_FALSE(memory.AppendTo({0xfff0, 0x20}, &pieces));    // Into the hole.
  EXPECT_FALSE(memory.AppendTo({0x11fff0, 0x20}, &pieces));  // Past the end.
  EXPECT_EQ(pieces.size(), 1u);
}

TEST_F(GuestMemoryTest, AnEmptyBufferIsNoPiece) {
  std::vector<iovec> pieces;
  EXPECT_TRUE(memory.AppendTo({0xdeadbeef, 0}, &pieces));
  EXPECT_TRUE(pieces.empty());
}

}  // namespace
}  // namespace berth::hw

#include "hw/virtio/chain.h"

#include <string>

#include <gtest/gtest.h>

#include "tests/fakes/fake_ram.h"

namespace berth::hw {
namespace {

std::string Join(const std::vector<iovec>& pieces) {
  std::string joined;
  for (const iovec& piece : pieces) joined.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  return joined;
}

struct Chain : testing::Test {
  // Two ranges that touch, so that a buffer can lie in both.
  FakeRam ram{{{0x10000, 0x10000}, {0x20000, 0x10000}}};
  const GuestMemory& memory = ram.memory();
  std::vector<iovec> pieces;
};

TEST_F(Chain, BytesAreAddressedAcrossBuffers) {
  const GuestBuffer buffers[] = {{ram.AllocateWith("abc"), 3}, {ram.AllocateWith("defgh"), 5}};
  ASSERT_TRUE(AppendPieces(memory, buffers, 2, 4, &pieces));
  EXPECT_EQ(Join(pieces), "cdef");
  char out[4];
  ASSERT_TRUE(LoadChain(memory, buffers, 1, &out));
  EXPECT_EQ(std::string(out, 4), "bcde");
  const uint8_t in[] = {'X', 'Y'};
  ASSERT_TRUE(WriteChain(memory, buffers, 2, in));
  EXPECT_EQ(ram.Text(buffers[0].address, 3), "abX");
  EXPECT_EQ(ram.Text(buffers[1].address, 5), "Yefgh");
}

TEST_F(Chain, ABufferMayCrossFromOneRangeOfRamIntoTheNext) {
  const GuestBuffer buffers[] = {{0x20000 - 2, 4}};
  ASSERT_TRUE(WriteChain(memory, buffers, 0, std::vector<uint8_t>{'a', 'b', 'c', 'd'}));
  uint8_t out[4];
  ASSERT_TRUE(ReadChain(memory, buffers, 0, out));
  EXPECT_EQ(std::string(out, out + 4), "abcd");
  ASSERT_TRUE(AppendPieces(memory, buffers, 1, 3, &pieces));
  EXPECT_EQ(pieces.size(), 2u);
  EXPECT_EQ(Join(pieces), "bcd");
}

TEST_F(Chain, WhatIsNotThereFails) {
  const GuestBuffer buffers[] = {{0x10000, 8}, {0x30000 - 4, 8}, {~0ull - 3, 16}};
  uint8_t out[16];
  EXPECT_FALSE(ReadChain(memory, buffers, 4, out));                                // Not RAM.
  EXPECT_FALSE(AppendPieces(memory, buffers, 0, 16, &pieces));                     // Not RAM.
  EXPECT_FALSE(AppendPieces(memory, std::span(buffers).first(1), 1, 8, &pieces));  // Too short.
  EXPECT_FALSE(AppendPieces(memory, std::span(buffers).last(1), 8, 4, &pieces));   // Wraps around.
  EXPECT_TRUE(AppendPieces(memory, std::span(buffers).first(1), 8, 0, &pieces));   // Nothing asked.
}

}  // namespace
}  // namespace berth::hw

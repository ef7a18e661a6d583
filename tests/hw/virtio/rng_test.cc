#include "hw/virtio/rng.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/fakes/fake_virtio.h"

namespace berth::hw {
namespace {

struct RngTest : testing::Test {
  bool AllZero(const FakeBuffer& buffer) {
    const uint8_t* bytes = fake.ram().At(buffer.address, buffer.size);
    return std::all_of(bytes, bytes + buffer.size, [](uint8_t byte) { return byte == 0; });
  }
  std::unique_ptr<VirtioDevice> rng = CreateVirtioRng();
  FakeVirtio fake{rng.get()};
};

TEST_F(RngTest, FillsWhatTheDriverOffers) {
  ASSERT_TRUE(fake.Activate());
  const FakeBuffer first = fake.driver(0).Writable(64), second = fake.driver(0).Writable(100);
  fake.driver(0).Add({first, second});
  fake.Kick(0);
  EXPECT_EQ(fake.driver(0).TakeUsed()->written, 164u);
  EXPECT_FALSE(AllZero(first));
  EXPECT_FALSE(AllZero(second));
  EXPECT_EQ(fake.TakeInterrupts(0), 1u);
}

TEST_F(RngTest, AnswersHugeRequestsInPart) {
  ASSERT_TRUE(fake.Activate());
  fake.driver(0).Add({fake.driver(0).Writable(1 << 20)});
  fake.Kick(0);
  EXPECT_EQ(fake.driver(0).TakeUsed()->written, 4096u);
}

TEST_F(RngTest, GivesBackWhatIsNotInRamOrNotWritable) {
  ASSERT_TRUE(fake.Activate());
  fake.driver(0).Add({{1ull << 40, 64, true}});
  fake.driver(0).Add({fake.driver(0).Readable("x")});
  fake.Kick(0);
  EXPECT_EQ(fake.driver(0).TakeUsed()->written, 0u);
  EXPECT_EQ(fake.driver(0).TakeUsed()->written, 0u);
  EXPECT_TRUE(fake.transport().needs_reset.empty());
}

TEST_F(RngTest, ALyingDriverHasToReset) {
  ASSERT_TRUE(fake.Activate());
  static_cast<FakeSplitDriver&>(fake.driver(0)).SetAvailableIndex(1000);
  fake.ForceKick(0);
  fake.ForceKick(0);
  EXPECT_EQ(fake.transport().needs_reset.size(), 1u);
  fake.Reset();
  ASSERT_TRUE(fake.Activate());
  fake.driver(0).Add({fake.driver(0).Writable(8)});
  fake.Kick(0);
  EXPECT_EQ(fake.driver(0).TakeUsed()->written, 8u);
}

TEST_F(RngTest, ServesAFullRingOverSeveralTurns) {
  ASSERT_TRUE(fake.Activate());
  const FakeBuffer buffer = fake.driver(0).Writable(8);
  for (int i = 0; i < 64; ++i) fake.driver(0).Add({buffer});
  fake.Kick(0);
  fake.Turn();
  for (int i = 0; i < 64; ++i) EXPECT_TRUE(fake.driver(0).TakeUsed());
  fake.driver(0).Add({buffer});
  EXPECT_TRUE(fake.driver(0).KickWanted()) << "kicks are on again";
}

TEST_F(RngTest, AfterResetNothingIsTouched) {
  ASSERT_TRUE(fake.Activate());
  const FakeBuffer buffer = fake.driver(0).Writable(64);
  fake.driver(0).Add({buffer});
  rng->Reset();
  fake.ForceKick(0);
  EXPECT_TRUE(AllZero(buffer));
}

}  // namespace
}  // namespace berth::hw

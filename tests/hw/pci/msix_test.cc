#include "hw/pci/msix.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_interrupts.h"

namespace berth::hw {
namespace {

constexpr uint16_t kEnable = 0x8000, kFunctionMask = 0x4000;

struct Fixture {
  explicit Fixture(unsigned count = 4) : msix(*Msix::Create(&interrupts, count, Observer())) {}
  Msix::VectorObserver Observer() {
    return [this](unsigned vector, bool unmasked) { seen.emplace_back(vector, unmasked); };
  }
  void WriteEntry(unsigned index, uint64_t address, uint32_t data, uint32_t control) {
    msix->table_handler()->Write(index * 16, 4, address & 0xffffffff);
    msix->table_handler()->Write(index * 16 + 4, 4, address >> 32);
    msix->table_handler()->Write(index * 16 + 8, 4, data);
    msix->table_handler()->Write(index * 16 + 12, 4, control);
  }

  FakeInterrupts interrupts;
  std::vector<std::pair<unsigned, bool>> seen;
  std::unique_ptr<Msix> msix;
};

TEST(Msix, CapabilityNamesTableAndPendingBits) {
  Fixture f(65);
  const auto body = f.msix->CapabilityBody(4, 0x2000, 4, 0x3000);
  EXPECT_THAT(body, testing::ElementsAre(64, 0, 0x04, 0x20, 0, 0, 0x04, 0x30, 0, 0));
  EXPECT_EQ(f.msix->table_size(), 65u * 16);
  EXPECT_EQ(f.msix->pba_size(), 16u);
}

TEST(Msix, AfterResetEveryVectorIsMasked) {
  Fixture f;
  for (unsigned i = 0; i < 4; ++i) EXPECT_EQ(f.msix->table_handler()->Read(i * 16 + 12, 4), 1u);
  f.msix->SetControl(kEnable);
  for (unsigned i = 0; i < 4; ++i) EXPECT_TRUE(f.interrupts.vector(i)->masked());
}

TEST(Msix, AVectorIsLiveOnlyWhenNothingMasksIt) {
  Fixture f;
  f.WriteEntry(1, 0xfee01000, 0x4041, 0);
  EXPECT_TRUE(f.interrupts.vector(1)->masked()) << "MSI-X is not enabled";
  f.msix->SetControl(kEnable | kFunctionMask);
  EXPECT_TRUE(f.interrupts.vector(1)->masked());
  f.msix->SetControl(kEnable);
  EXPECT_FALSE(f.interrupts.vector(1)->masked());
  EXPECT_EQ(f.interrupts.vector(1)->message(), (MsiMessage{0xfee01000, 0x4041}));
  f.msix->table_handler()->Write(16 + 12, 4, 1);
  EXPECT_TRUE(f.interrupts.vector(1)->masked());
  EXPECT_THAT(f.seen, testing::ElementsAre(std::pair(1u, true), std::pair(1u, false)));
}

TEST(Msix, ASignalBehindTheMaskIsAPendingBit) {
  Fixture f(70);
  f.msix->SetControl(kEnable);
  f.msix->vector(66)->Signal();
  EXPECT_EQ(f.msix->pba_handler()->Read(8, 8), 1u << 2);
  EXPECT_EQ(f.msix->pba_handler()->Read(8, 1), 1u << 2);
  EXPECT_EQ(f.msix->pba_handler()->Read(0, 8), 0u);
  f.msix->pba_handler()->Write(8, 8, 0);
  EXPECT_EQ(f.msix->pba_handler()->Read(8, 4), 1u << 2) << "the guest cannot write it";
  f.WriteEntry(66, 0xfee00000, 0x20, 0);
  EXPECT_EQ(f.msix->pba_handler()->Read(8, 8), 0u);
  EXPECT_EQ(f.interrupts.vector(66)->TakeInterrupts(), 1u);
}

TEST(Msix, EnablingUnmasksInOneBatch) {
  Fixture f(16);
  for (unsigned i = 0; i < 16; ++i) f.WriteEntry(i, 0xfee00000, 0x20 + i, 0);
  f.msix->SetControl(kEnable);
  EXPECT_EQ(f.interrupts.unmask_all_calls, 1);
  for (unsigned i = 0; i < 16; ++i) EXPECT_EQ(f.interrupts.vector(i)->message().data, 0x20 + i);
}

TEST(Msix, AVectorTheHostHasNoRouteForStaysMaskedAlone) {
  Fixture f(3);
  for (unsigned i = 0; i < 3; ++i) f.WriteEntry(i, 0xfee00000, 0x20 + i, 0);
  f.interrupts.fail_call = 1;  // The batch.
  f.msix->SetControl(kEnable);
  for (unsigned i = 0; i < 3; ++i) EXPECT_FALSE(f.interrupts.vector(i)->masked());

  f.msix->SetControl(0);
  f.interrupts.fail_call = 1;
  f.msix->SetControl(kEnable);
  f.msix->table_handler()->Write(12, 4, 1);
  f.interrupts.fail_call = 1;
  f.msix->table_handler()->Write(12, 4, 0);
  EXPECT_TRUE(f.interrupts.vector(0)->masked());
  f.seen.clear();
  f.msix->table_handler()->Write(12, 4, 0);
  EXPECT_FALSE(f.interrupts.vector(0)->masked()) << "the next try succeeds";
  EXPECT_THAT(f.seen, testing::ElementsAre(std::pair(0u, true)));
}

TEST(Msix, AMessageChangedWhileLiveTakesEffect) {
  Fixture f;
  f.msix->SetControl(kEnable);
  f.WriteEntry(0, 0xfee00000, 0x20, 0);
  f.msix->table_handler()->Write(8, 8, 0x31);  // Data and (unmasked) control in one qword.
  EXPECT_EQ(f.interrupts.vector(0)->message().data, 0x31u);
}

TEST(Msix, ServesAccessesOfAnyWidth) {
  Fixture f;
  f.msix->table_handler()->Write(0, 8, 0x11223344'fee00003);
  EXPECT_EQ(f.msix->table_handler()->Read(0, 8), 0x11223344'fee00000u) << "messages are dword-aligned";
  f.msix->table_handler()->Write(9, 1, 0xab);
  EXPECT_EQ(f.msix->table_handler()->Read(8, 4), 0xab00u);
  f.msix->table_handler()->Write(13, 8, ~0ull);  // Across two entries, as no sane driver does.
  EXPECT_EQ(f.msix->table_handler()->Read(12, 4), 1u);
  EXPECT_EQ(f.msix->table_handler()->Read(16, 8), 0x000000ff'fffffffcu);
}

TEST(Msix, BeyondTheTableIsNothing) {
  Fixture f;
  f.msix->table_handler()->Write(4 * 16 + 12, 4, 0);
  f.msix->table_handler()->Write(3 * 16 + 14, 8, ~0ull);
  EXPECT_EQ(f.msix->table_handler()->Read(4 * 16, 8), 0u);
  EXPECT_EQ(f.msix->pba_handler()->Read(8, 8), 0u);
  EXPECT_EQ(f.msix->vector(4), nullptr);
  EXPECT_EQ(f.msix->vector(0xffff), nullptr);
}

TEST(Msix, ResetMasksClearsAndForgetsWhatWasPending) {
  Fixture f;
  f.WriteEntry(0, 0xfee00000, 0x20, 0);
  f.msix->SetControl(kEnable);
  f.msix->vector(3)->Signal();
  f.msix->Reset();
  EXPECT_FALSE(f.msix->enabled());
  EXPECT_TRUE(f.interrupts.vector(0)->masked());
  EXPECT_EQ(f.msix->table_handler()->Read(0, 8), 0u);
  EXPECT_EQ(f.msix->table_handler()->Read(12, 4), 1u);
  EXPECT_EQ(f.msix->pba_handler()->Read(0, 8), 0u);
  EXPECT_THAT(f.seen, testing::ElementsAre(std::pair(0u, true), std::pair(0u, false)));
}

TEST(Msix, CreationFailsAsAWhole) {
  FakeInterrupts interrupts;
  interrupts.fail_call = 3;
  const auto msix = Msix::Create(&interrupts, 4);
  ASSERT_FALSE(msix);
  EXPECT_EQ(msix.error().code(), Code::kResourceExhausted);
}

TEST(Msix, TheObserverSeesChangesOfSeveralThreadsInTheirOrder) {
  Fixture f(1);
  f.msix->SetControl(kEnable);
  auto toggle = [&] {
    for (int i = 0; i < 500; ++i) f.msix->table_handler()->Write(12, 4, i & 1);
  };
  std::thread a(toggle), b(toggle);
  a.join();
  b.join();
  for (size_t i = 0; i < f.seen.size(); ++i) EXPECT_EQ(f.seen[i].second, i % 2 == 0);
  EXPECT_EQ(f.seen.back().second, !f.interrupts.vector(0)->masked());
}

}  // namespace
}  // namespace berth::hw

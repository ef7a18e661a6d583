#include "hw/virtio/balloon.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hw/virtio/discard.h"
#include "tests/fakes/fake_virtio.h"

namespace berth::hw {
namespace {

constexpr unsigned kInflate = 0, kDeflate = 1, kStatistics = 2;
constexpr uint64_t kStatisticsQueue = 1 << 1, kDeflateOnOom = 1 << 2, kPageReporting = 1 << 5;
constexpr uint64_t kRamStart = 0x100000;

class BalloonTest : public testing::Test {
 protected:
  void Start(const VirtioBalloonOptions& options, uint64_t features = 0) {
    fake.reset();
    balloon = *VirtioBalloon::Create(options);
    fake = std::make_unique<FakeVirtio>(balloon.get(), std::vector<Range>{{kRamStart, 16 * kMiB}});
    ASSERT_TRUE(fake->Activate(features));
    // Every page has been touched: first those of the driver's rings and buffers, then those that tests look
    // at.
    for (uint64_t page = 0; page < 1024; ++page) SetPage(page, Page(page));
    for (uint64_t page = 1024; page < 4096; ++page) SetPage(page, 0xaa);
    before = Backed();
  }
  // Pages are counted from the start of RAM.
  void SetPage(uint64_t page, uint8_t value) { fake->ram().Set<uint8_t>(kRamStart + page * 4096, value); }
  uint8_t Page(uint64_t page) { return fake->ram().Get<uint8_t>(kRamStart + page * 4096); }
  static uint32_t Number(uint64_t page) { return static_cast<uint32_t>(kRamStart / 4096 + page); }
  // What the guest's memory takes on the host.
  uint64_t Backed() {
    struct stat info {};
    EXPECT_EQ(::fstat(fake->ram().block(0).mapping().fd, &info), 0);
    return static_cast<uint64_t>(info.st_blocks) * 512;
  }
  FakeBuffer Numbers(const std::vector<uint32_t>& numbers) {
    return fake->driver(kInflate).Readable(
        {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(uint32_t)});
  }
  void Inflate(const std::vector<uint32_t>& numbers) {
    fake->driver(kInflate).Add({Numbers(numbers)});
    fake->Kick(kInflate);
    EXPECT_TRUE(fake->driver(kInflate).TakeUsed());
  }
  uint32_t Config(uint32_t offset) {
    uint8_t bytes[4];
    balloon->ReadConfig(offset, bytes);
    return LoadLe<uint32_t>(bytes);
  }

  std::unique_ptr<VirtioBalloon> balloon;
  std::unique_ptr<FakeVirtio> fake;
  uint64_t before = 0;
};

TEST(PageRanges, JoinsNeighboursInAnyOrder) {
  EXPECT_THAT(
      PageRanges({7, 3, 5, 4, 5, 0xffffffff}),
      testing::ElementsAre(Range{0x3000, 0x3000}, Range{0x7000, 0x1000}, Range{0xffffffff000, 0x1000}));
  EXPECT_TRUE(PageRanges({}).empty());
}

TEST_F(BalloonTest, InflatedPagesGoBackToTheHost) {
  Start({});
  Inflate({Number(2000), Number(2001), Number(2002), Number(2500)});
  EXPECT_EQ(before - Backed(), 4 * 4096u);
  for (const uint64_t page : {2000, 2001, 2002, 2500}) EXPECT_EQ(Page(page), 0);
  EXPECT_EQ(Page(1999), 0xaa);
  EXPECT_EQ(Page(2003), 0xaa);
  EXPECT_EQ(balloon->state().discarded_bytes, 4 * 4096u);
}

TEST_F(BalloonTest, DeflatedPagesAreUsedAgain) {
  Start({});
  Inflate({Number(2000)});
  fake->driver(kDeflate).Add({Numbers({Number(2000)})});
  fake->Kick(kDeflate);
  EXPECT_TRUE(fake->driver(kDeflate).TakeUsed());
  SetPage(2000, 0xbb);
  EXPECT_EQ(Page(2000), 0xbb);
}

TEST_F(BalloonTest, PagesThatAreNotRamAreIgnored) {
  Start({});
  Inflate({0, Number(0) - 1, Number(4096), 0xffffffff, Number(3000)});
  EXPECT_EQ(balloon->state().discarded_bytes, 4096u);
  EXPECT_TRUE(fake->transport().needs_reset.empty());
}

TEST_F(BalloonTest, AChainThatNamesNothingIsGivenBack) {
  Start({});
  for (const unsigned queue : {kInflate, kDeflate}) {
    fake->driver(queue).Add({fake->driver(queue).Writable(64)});
    fake->driver(queue).Add({{1ull << 40, 64, false}});
    fake->driver(queue).Add({fake->driver(queue).Readable("abc")});
    fake->Kick(queue);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(fake->driver(queue).TakeUsed());
  }
  EXPECT_EQ(balloon->state().discarded_bytes, 0u);
}

TEST_F(BalloonTest, AChainNamesABoundedNumberOfPages) {
  Start({});
  std::vector<uint32_t> numbers;
  for (uint64_t page = 1500; page < 3500; ++page) numbers.push_back(Number(page));
  Inflate(numbers);
  EXPECT_EQ(balloon->state().discarded_bytes, 1024u * 4096);
}

TEST_F(BalloonTest, PinnedMemoryStaysWhereItIs) {
  Start({.free_page_reporting = true, .pinned = true});
  EXPECT_EQ(balloon->features() & kPageReporting, 0u);
  EXPECT_EQ(balloon->queue_sizes().size(), 3u);
  Inflate({Number(2000)});
  EXPECT_EQ(Page(2000), 0xaa);
  EXPECT_EQ(balloon->state().discarded_bytes, 0u);
  const Status refused = balloon->SetTarget(kMiB);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "MEMORY_PINNED");
  EXPECT_TRUE(balloon->SetTarget(0));
}

TEST_F(BalloonTest, MemoryPinnedLaterStaysFromThenOn) {
  Start({.free_page_reporting = true}, kPageReporting | kStatisticsQueue);
  ASSERT_TRUE(balloon->SetTarget(kMiB));
  balloon->SetPinned(true);
  EXPECT_EQ(balloon->state().target_bytes, 0u);
  Inflate({Number(2000)});
  fake->driver(4).Add({{kRamStart + 2100 * 4096, 4096, true}});
  fake->Kick(4);
  EXPECT_EQ(Page(2000), 0xaa);
  EXPECT_EQ(Page(2100), 0xaa);
  balloon->SetPinned(false);
  Inflate({Number(2000)});
  EXPECT_EQ(Page(2000), 0);
}

TEST_F(BalloonTest, ATargetIsAChangeOfTheConfiguration) {
  Start({});
  ASSERT_TRUE(balloon->SetTarget(8 * kMiB));
  fake->Turn();
  EXPECT_EQ(fake->transport().config_changes, 1);
  EXPECT_EQ(Config(0), 2048u);
  ASSERT_TRUE(balloon->SetTarget(8 * kMiB));
  fake->Turn();
  EXPECT_EQ(fake->transport().config_changes, 1) << "nothing changed";
  EXPECT_EQ(balloon->SetTarget(uint64_t{1} << 50).error().code(), Code::kOutOfRange);
  const uint8_t actual[] = {0x00, 0x08, 0, 0};
  balloon->WriteConfig(4, actual);
  EXPECT_EQ(balloon->state().actual_bytes, 8 * kMiB);
  balloon->WriteConfig(0, actual);
  EXPECT_EQ(Config(0), 2048u) << "the driver does not set its own target";
}

TEST_F(BalloonTest, ATargetOutlivesTheDriver) {
  Start({});
  ASSERT_TRUE(balloon->SetTarget(kMiB));
  fake->Reset();
  EXPECT_EQ(balloon->state().target_bytes, kMiB);
  EXPECT_EQ(balloon->state().actual_bytes, 0u);
  ASSERT_TRUE(balloon->SetTarget(2 * kMiB));
  ASSERT_TRUE(fake->Activate());
  EXPECT_EQ(Config(0), 512u);
}

TEST_F(BalloonTest, OffersWhatWasAskedFor) {
  const auto features = [](const VirtioBalloonOptions& options) {
    return (*VirtioBalloon::Create(options))->features();
  };
  EXPECT_EQ(features({}), kStatisticsQueue);
  EXPECT_EQ(features({.free_page_reporting = true}), kStatisticsQueue | kPageReporting);
  EXPECT_EQ(features({.deflate_on_oom = true}), kStatisticsQueue | kDeflateOnOom);
}

// Queue 4 by the specification; 3 by drivers that number only what they use, and 2 without statistics either.
TEST_F(BalloonTest, ReportedPagesGoBackWhicheverQueueTheDriverTakes) {
  const auto report = [this](unsigned queue, uint64_t features) {
    Start({.free_page_reporting = true}, kPageReporting | features);
    const uint64_t at = kRamStart + 2000 * 4096;
    fake->driver(queue).Add({{at, 512 * 4096, true}, {at + 700 * 4096 + 100, 3 * 4096, true}});
    fake->Kick(queue);
    EXPECT_TRUE(fake->driver(queue).TakeUsed());
    return before - Backed();
  };
  EXPECT_EQ(report(4, kStatisticsQueue), (512 + 2) * 4096u) << "whole pages only";
  EXPECT_EQ(report(3, kStatisticsQueue), (512 + 2) * 4096u);
  EXPECT_EQ(report(2, 0), (512 + 2) * 4096u);
}

TEST_F(BalloonTest, ReportsOfWhatIsNotRamAreIgnored) {
  Start({.free_page_reporting = true}, kPageReporting | kStatisticsQueue);
  fake->driver(4).Add(
      {{kRamStart + 4095 * 4096, 0x7fffffff, true}, {~uint64_t{0} - 100, 0xffff, true}, {0, 100, true}});
  fake->Kick(4);
  EXPECT_TRUE(fake->driver(4).TakeUsed());
  EXPECT_EQ(balloon->state().discarded_bytes, 4096u) << "the last page of RAM";
}

std::string Entry(uint16_t tag, uint64_t value) {
  std::string entry(10, 0);
  StoreLe<uint16_t>(entry.data(), tag);
  StoreLe<uint64_t>(entry.data() + 2, value);
  return entry;
}

TEST_F(BalloonTest, StatisticsAreAskedForAndAnswered) {
  Start({}, kStatisticsQueue);
  FakeDriver& driver = fake->driver(kStatistics);
  driver.Add({driver.Readable(Entry(BalloonStatistics::kFree, 1 * kMiB) + Entry(0x1234, 5))});
  fake->Kick(kStatistics);
  EXPECT_EQ(driver.TakeUsed(), std::nullopt) << "kept, to be the next question";
  EXPECT_EQ(balloon->statistics().updates, 1u);
  EXPECT_EQ(balloon->statistics().values[BalloonStatistics::kFree], 1 * kMiB);
  EXPECT_EQ(balloon->statistics().values[BalloonStatistics::kTotal], std::nullopt);
  driver.EnableInterrupts();
  balloon->RequestStatistics();
  fake->Turn();
  EXPECT_TRUE(driver.TakeUsed());
  EXPECT_EQ(fake->TakeInterrupts(kStatistics), 1u);
  driver.Add({driver.Readable(Entry(BalloonStatistics::kFree, 2 * kMiB) + "short")});
  fake->Kick(kStatistics);
  EXPECT_EQ(balloon->statistics().updates, 2u);
  EXPECT_EQ(balloon->statistics().values[BalloonStatistics::kFree], 2 * kMiB);
}

// A guest that boots anew has none of what the last one had.
TEST_F(BalloonTest, StatisticsAreForgottenWithTheDriver) {
  Start({}, kStatisticsQueue);
  FakeDriver& driver = fake->driver(kStatistics);
  driver.Add({driver.Readable(Entry(BalloonStatistics::kAvailable, kMiB))});
  fake->Kick(kStatistics);
  ASSERT_EQ(balloon->statistics().updates, 1u);
  fake->Reset();
  EXPECT_EQ(balloon->statistics().updates, 0u);
  EXPECT_EQ(balloon->statistics().values[BalloonStatistics::kAvailable], std::nullopt);
}

TEST_F(BalloonTest, SeveralStatisticsBuffersAreHandedBack) {
  Start({}, kStatisticsQueue);
  FakeDriver& driver = fake->driver(kStatistics);
  for (int i = 0; i < 10; ++i) driver.Add({driver.Readable(Entry(0, 1))});
  fake->Kick(kStatistics);
  for (int i = 0; i < 3; ++i) fake->Turn();
  int used = 0;
  while (driver.TakeUsed()) ++used;
  EXPECT_EQ(used, 9);
}

TEST_F(BalloonTest, RequestsWithoutADriverAreHarmless) {
  const auto idle = *VirtioBalloon::Create({});
  idle->RequestStatistics();
  EXPECT_TRUE(idle->SetTarget(kMiB));
  EXPECT_EQ(idle->statistics().updates, 0u);
  idle->Reset();
}

}  // namespace
}  // namespace berth::hw

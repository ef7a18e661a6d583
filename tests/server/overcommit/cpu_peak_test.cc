#include "server/overcommit/cpu_peak.h"

#include <gmock/gmock.h>

#include "tests/fakes/random.h"

namespace berth::server {
namespace {

using testing::IsEmpty;

CpuHistory History(const std::vector<int>& samples) {
  CpuHistory history;
  for (int sample : samples) history.Add(sample);
  return history;
}

TEST(CpuHistory, KeepsTheLatestSamples) {
  CpuHistory history;
  for (size_t i = 0; i < 3 * CpuHistory::kKept; ++i) history.Add(i < CpuHistory::kKept ? 5000 : 100);
  EXPECT_EQ(history.size(), CpuHistory::kKept);
  EXPECT_EQ(history.Percentile(100), 100);
}

TEST(CpuHistory, PercentilesAreSamples) {
  std::vector<int> samples;
  for (int i = 1; i <= 200; ++i) samples.push_back(i);
  EXPECT_EQ(History(samples).Percentile(99), 198);
  EXPECT_EQ(History(samples).Percentile(50), 100);
  EXPECT_EQ(History({7}).Percentile(99), 7);
  EXPECT_EQ(History({}).Percentile(99), 0);
}

TEST(PredictPeaks, NothingIsPredictedFromLittle) {
  EXPECT_THAT(PredictPeaks({{"a", History(std::vector<int>(kLeastSamples - 1, 500))}}, {}, 5), IsEmpty());
}

TEST(PredictPeaks, IsThePercentileOfGuestsThatTakeTurns) {
  std::vector<int> busy(200, 100);
  std::fill_n(busy.begin(), 20, 2000);
  const auto peaks = PredictPeaks({{"a", History(busy)}}, History(std::vector<int>(200, 300)), 5);
  EXPECT_EQ(peaks.at("a"), 2000);
}

TEST(PredictPeaks, TheHostsOwnPeakRaisesAllAlike) {
  std::vector<int> total;
  for (int i = 0; i < 200; ++i) total.push_back(i % 2 == 0 ? 1000 : 3000);
  const auto peaks =
      PredictPeaks({{"a", History(std::vector<int>(200, 500))}, {"b", History(std::vector<int>(200, 1500))}},
                   History(total), 3);  // 2000 and three times 1000.
  EXPECT_EQ(peaks.at("a"), 1250);
  EXPECT_EQ(peaks.at("b"), 3750);
}

TEST(CountByUse, CountsPeaksButNotLessThanReservations) {
  Ledger ledger(3);
  ledger[0] = {.guest = "a",
               .shared_cpus = {{.host_node = 0, .millicpus = 1000}, {.host_node = 1, .millicpus = 1000}}};
  ledger[1] = {.guest = "b", .shared_cpus = {{.host_node = 0, .millicpus = 1000}}};
  ledger[2] = {.guest = "unknown", .shared_cpus = {{.host_node = 0, .millicpus = 700}}};
  const Ledger counted = CountByUse(ledger, {{"a", 500}, {"b", 100}}, {{"b", 400}});
  EXPECT_EQ(counted[0].shared_cpus[1].millicpus, 250);
  EXPECT_EQ(counted[1].shared_cpus[0].millicpus, 400);
  EXPECT_EQ(counted[2].shared_cpus[0].millicpus, 700);
}

// What was predicted from one half of a load holds for the other half, nearly always.
TEST(PredictPeaks, HoldsForWhatComesAfter) {
  Random random(7);
  std::map<std::string, CpuHistory> guests;
  CpuHistory total;
  const auto use = [&](int guest) {
    return 100 + 50 * guest + (random.OneIn(10) ? 1500 : random.Below(200));
  };
  for (int i = 0; i < 600; ++i) {
    int sum = 0;
    for (int guest = 0; guest < 8; ++guest) {
      const int millicpus = use(guest);
      guests[std::to_string(guest)].Add(millicpus);
      sum += millicpus;
    }
    total.Add(sum);
  }
  int64_t predicted = 0;
  for (const auto& [guest, peak] : PredictPeaks(guests, total, 3)) predicted += peak;
  int above = 0;
  for (int i = 0; i < 600; ++i) {
    int sum = 0;
    for (int guest = 0; guest < 8; ++guest) sum += use(guest);
    above += sum > predicted ? 1 : 0;
  }
  EXPECT_LE(above, 6);
}

}  // namespace
}  // namespace berth::server

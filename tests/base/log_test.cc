#include "base/log.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(LogLimiter, LetsABurstThroughAndCountsTheRest) {
  LogLimiter limiter(3);
  uint64_t held_back = 99;
  int admitted = 0;
  for (int i = 0; i < 1000; ++i) admitted += limiter.Admit(&held_back);
  // One more may have been refilled while the loop ran.
  EXPECT_GE(admitted, 3);
  EXPECT_LE(admitted, 5);
  EXPECT_LT(held_back, 1000u);
}

}  // namespace
}  // namespace berth

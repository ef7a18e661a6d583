#include "server/api/call_limit.h"

#include <gtest/gtest.h>

namespace berth::server {
namespace {

TEST(CallLimit, APlaceIsFreeAgainAfterItsCall) {
  CallLimit limit(2);
  auto first = limit.Take();
  {
    auto second = limit.Take();
    EXPECT_TRUE(second);
    const auto third = limit.Take();
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().code(), Code::kResourceExhausted);
    EXPECT_EQ(third.error().reason(), "TOO_MANY_CALLS");
  }
  EXPECT_TRUE(limit.Take());
}

}  // namespace
}  // namespace berth::server

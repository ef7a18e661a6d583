#include "base/error.h"

#include <cerrno>
#include <memory>

#include <gtest/gtest.h>

namespace berth {
namespace {

Result<std::unique_ptr<int>> Make(bool good) {
  if (!good) return Fail(Code::kNotFound, "no {} here", 7);
  return std::make_unique<int>(3);
}

Result<int> Use(bool good) {
  const std::unique_ptr<int> value = TRY(Make(good));
  return *value + 1;
}

TEST(Try, PassesTheValueOn) { EXPECT_EQ(Use(true), 4); }

TEST(Try, ReturnsTheErrorFromTheEnclosingFunction) {
  const Result<int> result = Use(false);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().ToString(), "NOT_FOUND: no 7 here");
}

TEST(Error, ContextKeepsCodeAndDetails) {
  const Status failed = Fail(Error(Code::kAborted, "busy").Reason("BUSY").With("device", "0000:01:00.0"));
  const Status outer = Context(failed, "attach disk0");
  ASSERT_FALSE(outer);
  EXPECT_EQ(outer.error().message(), "attach disk0: busy");
  EXPECT_EQ(outer.error().code(), Code::kAborted);
  EXPECT_EQ(outer.error().reason(), "BUSY");
  EXPECT_EQ(outer.error().metadata().front().second, "0000:01:00.0");
}

TEST(SystemError, FollowsErrno) {
  EXPECT_EQ(SystemError(ENOENT, "open x").code(), Code::kNotFound);
  EXPECT_EQ(SystemError(EBUSY, "open x").code(), Code::kFailedPrecondition);
  EXPECT_EQ(SystemError(EIO, "open x").code(), Code::kInternal);
}

TEST(CheckDeathTest, EndsTheProcessWithTheCondition) { EXPECT_DEATH(CHECK(1 == 2), "1 == 2"); }

TEST(Error, GrowsInPlace) {
  Error error(Code::kNotFound, "no such thing");
  for (int i = 0; i < 3; ++i) error = std::move(error).With("key", std::to_string(i));
  EXPECT_EQ(error.message(), "no such thing");
  EXPECT_EQ(error.metadata().size(), 3u);
}

}  // namespace
}  // namespace berth

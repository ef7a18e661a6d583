#include "host/control/affinity.h"

#include <unistd.h>

#include <gtest/gtest.h>

namespace berth::host {
namespace {

TEST(Affinity, SetsAndReadsBack) {
  const CpuSet original = GetAffinity(::gettid()).value();
  ASSERT_FALSE(original.empty());
  const CpuSet one = {*original.begin()};
  ASSERT_TRUE(SetAffinity(::gettid(), one));
  EXPECT_EQ(GetAffinity(::gettid()).value(), one);
  EXPECT_TRUE(SetAffinity(::gettid(), original));
}

TEST(Affinity, SaysWhenTheKernelNarrowsIt) {
  const CpuSet original = GetAffinity(::gettid()).value();
  const Status set = SetAffinity(::gettid(), original | CpuSet{4000});  // No host here has that CPU.
  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(set.error().reason(), "AFFINITY_NOT_HELD");
}

TEST(Affinity, RefusesNoCpuAndNoThread) {
  EXPECT_EQ(SetAffinity(::gettid(), {}).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(SetAffinity(INT32_MAX, {0}).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace berth::host

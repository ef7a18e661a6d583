#include "host/cpu_set.h"

#include <gtest/gtest.h>

namespace berth::host {
namespace {

TEST(CpuSet, ReadsTheKernelsLists) {
  EXPECT_EQ(CpuSet::Parse("0-3,8\n").value(), (CpuSet{0, 1, 2, 3, 8}));
  EXPECT_EQ(CpuSet::Parse("").value(), CpuSet{});
  EXPECT_EQ(CpuSet::Parse("\n").value(), CpuSet{});
  EXPECT_EQ(CpuSet::Parse("7").value(), CpuSet{7});
  EXPECT_EQ(CpuSet::Parse("2-4,3-5,2").value(), (CpuSet{2, 3, 4, 5}));
  EXPECT_EQ(CpuSet::Parse("0-65535").value().size(), 65536u);
}

TEST(CpuSet, RefusesWhatIsNoList) {
  for (const char* text :
       {"a", "1,", ",1", "1,,2", "3-1", "1-", "-1", "65536", "0-4000000000", "1 2", "1-2-3"}) {
    const auto set = CpuSet::Parse(text);
    ASSERT_FALSE(set) << text;
    EXPECT_EQ(set.error().code(), Code::kInvalidArgument);
  }
}

TEST(CpuSet, WritesRangesWhereNumbersFollowEachOther) {
  EXPECT_EQ((CpuSet{8, 0, 1, 2, 10, 11}).ToString(), "0-2,8,10-11");
  EXPECT_EQ(CpuSet{}.ToString(), "");
}

TEST(CpuSet, IsASet) {
  CpuSet set = {1, 2, 3};
  set.Insert(2);
  set.Erase(1);
  set.Erase(9);
  EXPECT_EQ(set, (CpuSet{2, 3}));
  EXPECT_EQ((set | CpuSet{7}), (CpuSet{2, 3, 7}));
  EXPECT_EQ((set & CpuSet{3, 4}), CpuSet{3});
  EXPECT_EQ((set - CpuSet{3, 4}), CpuSet{2});
  EXPECT_TRUE(set.ContainsAll(CpuSet{3}));
  EXPECT_FALSE(set.ContainsAll(CpuSet{3, 4}));
}

}  // namespace
}  // namespace berth::host

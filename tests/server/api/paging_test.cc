#include "server/api/paging.h"

#include <gmock/gmock.h>

namespace berth::server {
namespace {

using testing::ElementsAre;

const auto kKey = [](const std::string& item) { return item; };

TEST(Paging, GoesThroughAListPageByPage) {
  const std::vector<std::string> items = {"a", "b", "c", "d", "e"};
  std::string token;
  EXPECT_THAT(*PageOf(items, kKey, "q", 2, "", &token), ElementsAre("a", "b"));
  EXPECT_THAT(*PageOf(items, kKey, "q", 2, token, &token), ElementsAre("c", "d"));
  EXPECT_THAT(*PageOf(items, kKey, "q", 2, token, &token), ElementsAre("e"));
  EXPECT_EQ(token, "");
}

TEST(Paging, GoesOnAfterItsPlaceIsGone) {
  std::string token;
  ASSERT_TRUE(PageOf(std::vector<std::string>{"a", "b", "c"}, kKey, "q", 2, "", &token));
  EXPECT_THAT(*PageOf(std::vector<std::string>{"a", "bb", "c"}, kKey, "q", 2, token, &token),
              ElementsAre("bb", "c"));
}

TEST(Paging, ATokenIsForItsListOnly) {
  const std::string token = MakePageToken("guests state=RUNNING", "guests/a");
  EXPECT_EQ(*ReadPageToken("guests state=RUNNING", token), "guests/a");
  EXPECT_EQ(ReadPageToken("guests ", token).error().reason(), "BAD_PAGE_TOKEN");
  for (const std::string bad : {"x", "zz", "0123456789abcdef0", "0123456789abcdefzz"}) {
    EXPECT_EQ(ReadPageToken("guests ", bad).error().code(), Code::kInvalidArgument) << bad;
  }
}

TEST(Paging, SizesAreCoercedUnlessNegative) {
  EXPECT_EQ(*PageSize(0, 50), 50);
  EXPECT_EQ(*PageSize(7, 50), 7);
  EXPECT_EQ(*PageSize(1'000'000, 50), kMaxPageSize);
  EXPECT_EQ(PageSize(-1, 50).error().reason(), "BAD_PAGE_SIZE");
}

}  // namespace
}  // namespace berth::server

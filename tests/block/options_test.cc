#include "block/options.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "block/create_options.h"
#include "block/open.h"

namespace berth::block {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(Options, JsonIsFlattened) {
  const auto options =
      ParseJsonOptions(R"({"driver":"qcow2","file":{"driver":"file","filename":"a"},"n":[1,true]})");
  ASSERT_TRUE(options);
  EXPECT_THAT(*options, ElementsAre(Pair("driver", "qcow2"), Pair("file.driver", "file"),
                                    Pair("file.filename", "a"), Pair("n.0", "1"), Pair("n.1", "on")));
}

TEST(Options, JsonThatIsNoneOrTooDeepIsRefused) {
  EXPECT_FALSE(ParseJsonOptions("{"));
  EXPECT_FALSE(ParseJsonOptions("[1]"));
  EXPECT_FALSE(ParseJsonOptions(""));
  const std::string deep(10'000, '[');
  EXPECT_FALSE(ParseJsonOptions("{\"a\":" + deep + std::string(10'000, ']') + "}"));
}

TEST(Options, ACommaInAValueIsWrittenTwice) {
  EXPECT_THAT(*SplitKeyValues("a=1,b=x,,y,c"),
              ElementsAre(Pair("a", "1"), Pair("b", "x,y"), Pair("c", "on")));
  EXPECT_THAT(*SplitKeyValues("nolock"), ElementsAre(Pair("lock", "off")));
  EXPECT_FALSE(SplitKeyValues("=1"));
}

TEST(Options, SizesHaveSuffixesAndFractions) {
  EXPECT_EQ(*ParseSize("0"), 0u);
  EXPECT_EQ(*ParseSize("512b"), 512u);
  EXPECT_EQ(*ParseSize("1.5k"), 1536u);
  EXPECT_EQ(*ParseSize("2M"), 2u << 20);
  EXPECT_EQ(*ParseSize("0x10"), 16u);
  EXPECT_EQ(*ParseSize("15E"), 15ull << 60);
  EXPECT_EQ(ParseSize("16E").error().code(), Code::kOutOfRange);
  EXPECT_EQ(ParseSize("99999999999999999999").error().code(), Code::kOutOfRange);
  for (const char* bad : {"", "-1", "k", "1kk", "1.5", "1e3k", " 1", "1 ", "0x", "0x10k5", "1Z"}) {
    EXPECT_FALSE(ParseSize(bad)) << bad;
  }
}

TEST(CreateOptions, KeepNumbersAndRefuseWhatTheTableLacks) {
  constexpr CreateOption kTable[] = {{"size", CreateOption::Type::kSize, ""},
                                     {"lazy", CreateOption::Type::kBool, "", "off"}};
  CreateOptions options{std::span(kTable)};
  ASSERT_TRUE(options.SetAll("size=1k,lazy=on"));
  EXPECT_EQ(options.Number("size"), 1024u);
  EXPECT_TRUE(options.Bool("lazy"));
  EXPECT_EQ(options.Set("colour", "red").error().message(), "Invalid parameter 'colour'");
  EXPECT_FALSE(options.Set("lazy", "perhaps"));
}

TEST(ResolveName, IsRelativeToTheImageThatNames) {
  EXPECT_EQ(ResolveName("/images/overlay", "base"), "/images/base");
  EXPECT_EQ(ResolveName("overlay", "base"), "base");
  EXPECT_EQ(ResolveName("/images/overlay", "/other/base"), "/other/base");
  EXPECT_EQ(ResolveName("/images/overlay", "nbd:host:1"), "nbd:host:1");
  EXPECT_EQ(ResolveName("/images/overlay", "dir/with:colon"), "/images/dir/with:colon");
}

}  // namespace
}  // namespace berth::block

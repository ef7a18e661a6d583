#include "server/api/filter.h"

#include <map>

#include <gtest/gtest.h>

namespace berth::server {
namespace {

bool Knows(std::string_view field) {
  return field == "state" || field == "name" || field.starts_with("labels.");
}

bool Matches(const std::string& filter, const std::map<std::string, std::string>& values) {
  const auto parsed = Filter::Parse(filter, Knows);
  EXPECT_TRUE(parsed) << filter << ": " << parsed.error().message();
  return parsed->Matches([&](std::string_view field) {
    const auto found = values.find(std::string(field));
    return found == values.end() ? "" : found->second;
  });
}

TEST(Filter, ComparesFieldsJoinedByAnd) {
  EXPECT_TRUE(Matches("", {}));
  EXPECT_TRUE(Matches("  ", {}));
  EXPECT_TRUE(Matches("state = RUNNING", {{"state", "RUNNING"}}));
  EXPECT_FALSE(Matches("state=RUNNING", {{"state", "STOPPED"}}));
  EXPECT_TRUE(Matches("state != RUNNING", {{"state", "STOPPED"}}));
  EXPECT_TRUE(Matches("state=RUNNING AND labels.team = \"a \\\"b\\\"\"",
                      {{"state", "RUNNING"}, {"labels.team", "a \"b\""}}));
  EXPECT_FALSE(Matches("state=RUNNING AND name=x", {{"state", "RUNNING"}}));
  EXPECT_TRUE(Matches("name = guests/web-1", {{"name", "guests/web-1"}}));
}

TEST(Filter, SaysWhereItIsWrong) {
  const auto position = [](const std::string& text) {
    const auto parsed = Filter::Parse(text, Knows);
    EXPECT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code(), Code::kInvalidArgument);
    EXPECT_EQ(parsed.error().reason(), "BAD_FILTER");
    return parsed.error().metadata()[0].second;
  };
  EXPECT_EQ(position("state"), "5");
  EXPECT_EQ(position("state ="), "7");
  EXPECT_EQ(position("state < 3"), "6");
  EXPECT_EQ(position("colour = red"), "6");
  EXPECT_EQ(position("state = a OR state = b"), "10");
  EXPECT_EQ(position("state = \"a"), "10");
  EXPECT_EQ(position("state = \"a\\"), "11");
  position(std::string(5000, 'x'));
  std::string many = "state = a";
  for (int i = 0; i < 40; ++i) many += " AND state = a";
  position(many);
}

}  // namespace
}  // namespace berth::server

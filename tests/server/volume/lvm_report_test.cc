// What lvs prints, read; and what is no report.
#include "server/volume/lvm_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/volume/thin_name.h"

namespace berth::server {
namespace {

using Kind = ThinName::Kind;

// As lvm2 2.03.16 prints it, with blanks.
constexpr std::string_view kReport = R"(  {
      "report": [
          {
              "lv": [
                  {"lv_name":"pool0", "lv_attr":"twi-aotz--", "pool_lv":"", "lv_size":"1073741824", "data_percent":"12.50", "metadata_percent":"10.94", "lv_time":"1764402000"},
                  {"lv_name":"berth.web", "lv_attr":"Vwi-a-tz--", "pool_lv":"pool0", "lv_size":"4194304", "data_percent":"25.00", "metadata_percent":"", "lv_time":"1764402001"},
                  {"lv_name":"root", "lv_attr":"-wi-ao----", "pool_lv":"", "lv_size":"8388608", "data_percent":"", "metadata_percent":"", "lv_time":"1764402002"}
              ]
          }
      ]
  }
)";

TEST(LvmReport, IsRead) {
  const auto volumes = ParseLvmReport(kReport);
  ASSERT_TRUE(volumes) << volumes.error().message();
  ASSERT_EQ(volumes->size(), 3u);
  const LogicalVolume &pool = volumes->at(0), &web = volumes->at(1), &root = volumes->at(2);
  EXPECT_TRUE(pool.IsThinPool() && pool.Zeroes() && !pool.IsThin());
  EXPECT_EQ(pool.allocated_bytes(), 134217728u);
  EXPECT_EQ(pool.metadata_percent, 10.94);
  EXPECT_EQ(pool.health(), '-');
  EXPECT_TRUE(web.IsThin());
  EXPECT_EQ(web.name, "berth.web");
  EXPECT_EQ(web.pool, "pool0");
  EXPECT_EQ(web.size_bytes, 4194304u);
  EXPECT_EQ(web.created_seconds, 1764402001);
  EXPECT_FALSE(root.IsThin() || root.IsThinPool());
  EXPECT_EQ(root.allocated_bytes(), 0u);
}

TEST(LvmReport, OfAnEmptyGroupIsOneToo) {
  EXPECT_TRUE(ParseLvmReport(R"({"report": [{"lv": []}]})")->empty());
}

TEST(LvmReport, CutShortAtAnyByteItIsNone) {
  const size_t end = kReport.rfind('}');
  for (size_t length = 0; length <= end; ++length)
    EXPECT_EQ(ParseLvmReport(kReport.substr(0, length)).error().reason(), "LVM_REPORT_MALFORMED") << length;
}

TEST(LvmReport, WhatMakesNoSenseIsNone) {
  const auto with = [](std::string_view what, std::string_view instead) {
    std::string text(kReport);
    text.replace(text.find(what), what.size(), instead);
    const auto volumes = ParseLvmReport(text);
    return volumes ? "read" : volumes.error().reason();
  };
  EXPECT_EQ(with("\"4194304\"", "\"4194304\""), "read");
  for (const char* bad : {"\"-1\"", "\"4194304B\"", "\"4.0\"", "\"99999999999999999999\"",
                          "\"18446744073709551615\"", "4194304", "null", "[]", "{}", "\"\xff\""})
    EXPECT_EQ(with("\"4194304\"", bad), "LVM_REPORT_MALFORMED") << bad;
  for (const char* bad : {"\"nan\"", "\"-1\"", "\"100.01\"", "\"inf\"", "\"x\""})
    EXPECT_EQ(with("\"25.00\"", bad), "LVM_REPORT_MALFORMED") << bad;
  EXPECT_EQ(with("\"lv_attr\"", "\"lv_other\""), "LVM_REPORT_MALFORMED");
  for (const char* bad : {"", "[]", "{}", "\"\"", R"({"report":{}})", R"({"report":[]})", R"({"report":[1]})",
                          R"({"report":[{}]})", R"({"report":[{"lv":{}}]})", R"({"report":[{"lv":[1]}]})"})
    EXPECT_FALSE(ParseLvmReport(bad)) << bad;
}

TEST(ThinNames, SayWhatALogicalVolumeIs) {
  for (const auto& [text, name] : std::vector<std::pair<std::string, ThinName>>{
           {"berth.web-1", {Kind::kVolume, "web-1"}},
           {"berth.web-1.before", {Kind::kSnapshot, "web-1", "before"}},
           {"berth_new.web", {Kind::kNew, "web"}},
           {"berth_old.web", {Kind::kReplaced, "web"}}}) {
    const auto parsed = ThinName::Parse(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(*parsed, name) << text;
    EXPECT_EQ(name.ToString(), text);
  }
  for (const char* others :
       {"", "root", "berth", "berth.", "berth..", "berth.web.", "berth.web.a.b", "berth.Web",
        "berth_new.web.a", "berth_new.", "berthx.web", "xberth.web", "berth.web_1"})
    EXPECT_FALSE(ThinName::Parse(others)) << others;
}

}  // namespace
}  // namespace berth::server

#include "cli/output.h"

#include <sstream>

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
  Table table({"NAME", "STATE", "ERROR"});
  table.Add({"guests/web", "RUNNING", ""});
  table.Add({"guests/größer", "FAILED", "why"});
  std::ostringstream out;
  table.Print(out);
  EXPECT_EQ(out.str(),
            "NAME           STATE    ERROR\n"
            "guests/web     RUNNING  -\n"
            "guests/größer  FAILED   why\n");
}

TEST(Table, WhatATerminalWouldObeyIsNotPrinted) {
  Table table({"NAME"});
  table.Add({"\x1b[2Jgone\n"});
  std::ostringstream out;
  table.Print(out);
  EXPECT_EQ(out.str(), "NAME\n?[2Jgone?\n");
}

TEST(FormatBytes, InTheLargestUnit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(512LL << 20), "512 MiB");
  EXPECT_EQ(FormatBytes(3LL << 29), "1.5 GiB");
  EXPECT_EQ(FormatBytes(INT64_MAX), "8192 PiB");
}

TEST(ParseBytes, TakesWhatPeopleWrite) {
  EXPECT_EQ(ParseBytes("4096").value(), 4096);
  EXPECT_EQ(ParseBytes("20G").value(), int64_t{20} << 30);
  EXPECT_EQ(ParseBytes("1T").value(), int64_t{1} << 40);
  for (const char* bad : {"", "G", "-1", "1.5G", "1GB", "1g", "20 G", "9000P", "99999999999999999999"})
    EXPECT_FALSE(ParseBytes(bad)) << bad;
}

TEST(ParseOutputFormat, KnowsItsNames) {
  EXPECT_EQ(ParseOutputFormat("yaml").value(), OutputFormat::kYaml);
  EXPECT_EQ(ParseOutputFormat("xml").error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace berth::cli

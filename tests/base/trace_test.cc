#include "base/trace.h"

#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/log.h"

namespace berth::trace {
namespace {

std::array<Event, 3> events{{{.room = "one/room", .name = "came"},
                             {.room = "one/room", .name = "went"},
                             {.room = "another", .name = "came"}}};
const bool registered = (Register(events), true);

std::vector<std::string> lines;

std::vector<bool> Enabled() {
  std::vector<bool> all;
  for (const Event& event : events) all.push_back(event.enabled.load());
  return all;
}

TEST(Trace, EventsAreEnabledByAPatternOverRoomAndName) {
  ASSERT_TRUE(registered);
  EXPECT_EQ(Enable("one/room/*"), 2);
  EXPECT_EQ(Enabled(), (std::vector<bool>{true, true, false}));
  EXPECT_EQ(Enable("*/went", false), 1);
  EXPECT_EQ(Enabled(), (std::vector<bool>{true, false, false}));
  EXPECT_EQ(Enable("one"), 0);
  EXPECT_EQ(Enable("*", false), 3);
  EXPECT_EQ(Enabled(), (std::vector<bool>{false, false, false}));
}

TEST(Trace, WhatAnEventTellsIsALineOfTheLog) {
  lines.clear();
  SetLogSink([](LogLevel, std::string_view line) { lines.emplace_back(line); });
  Emit(events[2], "from=5");
  SetLogSink([](LogLevel, std::string_view) {});
  EXPECT_EQ(lines, (std::vector<std::string>{"another/came from=5"}));
}

}  // namespace
}  // namespace berth::trace

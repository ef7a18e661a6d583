#include "server/guest/event_log.h"

#include <thread>

#include <gtest/gtest.h>

namespace berth::server {
namespace {

using std::chrono::milliseconds;

v1::Event About(const std::string& guest) {
  v1::Event event;
  event.set_guest(guest);
  return event;
}

TEST(EventLog, AWatcherGetsWhatComesAndResumesWhereItWas) {
  EventLog log;
  log.Publish(About("guests/before"));
  uint64_t next = *log.Resume("");
  log.Publish(About("guests/a"));
  log.Publish(About("guests/b"));
  const auto events = *log.Read(&next, milliseconds(0));
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].guest(), "guests/a");
  uint64_t again = *log.Resume(events[0].resume_token());
  EXPECT_EQ((*log.Read(&again, milliseconds(0)))[0].guest(), "guests/b");
  EXPECT_TRUE(log.Read(&again, milliseconds(0))->empty());
}

TEST(EventLog, WaitsForWhatIsToCome) {
  EventLog log;
  uint64_t next = *log.Resume("");
  std::thread publisher([&] { log.Publish(About("guests/a")); });
  EXPECT_EQ(log.Read(&next, std::chrono::minutes(1))->size(), 1u);
  publisher.join();
}

TEST(EventLog, TellsALaggardThatItLostSome) {
  EventLog log;
  uint64_t next = *log.Resume("");
  log.Publish(About("guests/first"));
  const std::string token = (*log.Read(&next, milliseconds(0)))[0].resume_token();
  uint64_t slow = next;
  for (size_t i = 0; i < EventLog::kCapacity + 1; ++i) log.Publish(About("guests/a"));
  EXPECT_EQ(log.Read(&slow, milliseconds(0)).error().reason(), "EVENTS_LOST");
  uint64_t resumed = *log.Resume(token);
  EXPECT_EQ(log.Read(&resumed, milliseconds(0)).error().code(), Code::kOutOfRange);
}

TEST(EventLog, KnowsItsOwnTokensOnly) {
  EventLog log, other;
  other.Publish(About("guests/a"));
  uint64_t next = 0;
  EXPECT_EQ(log.Resume((*other.Read(&next, milliseconds(0)))[0].resume_token()).error().reason(),
            "EVENTS_LOST");
  for (const char* bad : {"x", "-", "1-", "a-b", "a-1x"}) {
    EXPECT_EQ(log.Resume(bad).error().reason(), "BAD_RESUME_TOKEN") << bad;
  }
}

}  // namespace
}  // namespace berth::server

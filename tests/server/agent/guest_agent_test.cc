// A conversation with an agent that behaves, and with those that do not.
#include "server/agent/guest_agent.h"

#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include <gmock/gmock.h>

#include "server/agent/agent_reply.h"
#include "tests/fakes/fake_agent.h"

namespace berth::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

// The agent, on a thread of its own, at the other end of a stream.
class Guest {
 public:
  explicit Guest(const std::string& manner, const std::string& said_before = "") : agent_(manner) {
    int pair[2];
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    stream_ = UniqueFd(pair[0]);
    ours_ = UniqueFd(pair[1]);
    thread_ = std::thread([this, said_before] { Run(said_before); });
  }
  ~Guest() {
    ::shutdown(ours_.get(), SHUT_RDWR);
    thread_.join();
  }
  UniqueFd TakeStream() { return std::move(stream_); }

 private:
  void Run(const std::string& said_before) {
    if (!Say(said_before)) return;
    char bytes[100];
    for (ssize_t got; (got = ::read(ours_.get(), bytes, sizeof(bytes))) > 0;) {
      if (!Say(agent_.Hear({bytes, static_cast<size_t>(got)})) || agent_.over()) break;
    }
    ::shutdown(ours_.get(), SHUT_RDWR);
  }
  bool Say(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(ours_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  FakeAgent agent_;
  UniqueFd stream_, ours_;
  std::thread thread_;
};

// The reason for which the conversation ends.
std::string Freeze(Guest& guest, milliseconds timeout = seconds(60)) {
  GuestAgent agent(guest.TakeStream());
  if (const Status synchronized = agent.Synchronize(timeout); !synchronized)
    return synchronized.error().reason();
  const auto frozen = agent.Ask("guest-fsfreeze-freeze", timeout);
  return frozen ? fmt::format("{} frozen", *frozen) : frozen.error().reason();
}

TEST(GuestAgent, IsAskedOneThingAfterTheOther) {
  Guest guest("");
  GuestAgent agent(guest.TakeStream());
  ASSERT_TRUE(agent.Synchronize(seconds(60)));
  EXPECT_EQ(agent.Ask("guest-fsfreeze-freeze", seconds(60)), 2);
  EXPECT_EQ(agent.Insist("guest-fsfreeze-thaw", seconds(60)), 2);
  EXPECT_EQ(agent.Ask("guest-fsfreeze-thaw", seconds(60)), 0);
  EXPECT_EQ(agent.Ask("guest-shutdown", seconds(60)).error().reason(), "AGENT_REFUSED");
}

// qemu-ga-ref, guest-sync-delimited: "all guest agent responses should be ignored until the response
// containing the unique integer value the client passed in is returned".
TEST(GuestAgent, WhatWasSaidToOthersIsPassedOver) {
  for (const char* before :
       {"{\"return\": 7}\n{\"return\": [1,", "\xff{\"return\": 7}\n", "\xff\xff\n\n\xff"}) {
    Guest guest("", before);
    EXPECT_EQ(Freeze(guest), "2 frozen") << before;
  }
}

TEST(GuestAgent, ARefusalIsTold) {
  Guest guest("refuse");
  GuestAgent agent(guest.TakeStream());
  ASSERT_TRUE(agent.Synchronize(seconds(60)));
  const auto refused = agent.Ask("guest-fsfreeze-freeze", seconds(60));
  EXPECT_EQ(refused.error().reason(), "AGENT_REFUSED");
  EXPECT_EQ(refused.error().message(),
            "guest-fsfreeze-freeze: the guest's agent refuses: Command guest-fsfreeze-freeze has been "
            "disabled?[31m");
}

TEST(GuestAgent, IsNotWaitedForWithoutEnd) {
  Guest silent("silent"), hangs("hang_freeze");
  EXPECT_EQ(Freeze(silent, milliseconds(50)), "AGENT_TIMED_OUT");
  GuestAgent agent(hangs.TakeStream());
  ASSERT_TRUE(agent.Synchronize(seconds(60)));
  EXPECT_EQ(agent.Ask("guest-fsfreeze-freeze", milliseconds(50)).error().reason(), "AGENT_TIMED_OUT");
}

TEST(GuestAgent, WhatMakesNoSenseEndsIt) {
  for (const auto& [manner, reason] : {std::pair("endless", "AGENT_PROTOCOL_ERROR"),
                                       {"no_number", "AGENT_PROTOCOL_ERROR"},
                                       {"chatty", "AGENT_PROTOCOL_ERROR"},
                                       {"cut", "AGENT_GONE"}}) {
    Guest guest(manner);
    EXPECT_EQ(Freeze(guest), reason) << manner;
  }
  Guest wrong_id("wrong_id"), garbage("garbage");
  EXPECT_EQ(Freeze(wrong_id, milliseconds(50)), "AGENT_TIMED_OUT");
  EXPECT_EQ(Freeze(garbage, milliseconds(50)), "AGENT_TIMED_OUT");
  std::string lines;
  while (lines.size() <= GuestAgent::kMaxSkippedBytes) lines += "{\"return\": 7}\n";
  Guest talks("silent", lines);
  EXPECT_EQ(Freeze(talks), "AGENT_PROTOCOL_ERROR");
}

TEST(AgentReply, IsANumberOrARefusal) {
  EXPECT_EQ(ParseAgentReply("{\"return\": 4294967295, \"id\": 1}\r"), 4294967295);
  EXPECT_EQ(ParseAgentReply("{\"return\": -1}"), -1);
  const auto refused = ParseAgentReply("{\"error\": {\"class\": \"GenericError\", \"desc\": \"a\\tb\"}}");
  EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(refused.error().message(), HasSubstr("refuses: a?b"));
  for (const std::string line :
       {"", "1", "null", "[]", "{}", "{\"return\": 1", "{\"return\": 1} x", "{\"return\": \"1\"}",
        "{\"return\": 1.5}", "{\"return\": 18446744073709551615}",
        "{\"return\": 1, \"error\": {\"desc\": \"\"}}", "{\"error\": \"desc\"}", "{\"error\": {\"desc\": 1}}",
        "{'return': 1}", "{\"return\": 1}\xff", "{\"return\": /**/ 1}"}) {
    EXPECT_EQ(ParseAgentReply(line).error().reason(), "AGENT_PROTOCOL_ERROR") << line;
  }
  const std::string deep = "{\"return\": " + std::string(60'000, '[');
  EXPECT_EQ(ParseAgentReply(deep).error().reason(), "AGENT_PROTOCOL_ERROR");
  EXPECT_EQ(ParseAgentReply("{\"return\": 1}" + std::string(kMaxAgentReplyBytes, ' ')).error().reason(),
            "AGENT_PROTOCOL_ERROR");
}

}  // namespace
}  // namespace berth::server

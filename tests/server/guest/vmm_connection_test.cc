#include "server/guest/vmm_connection.h"

#include <atomic>
#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "base/socket.h"
#include "tests/fakes/loop_thread.h"

namespace berth::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A connection whose other end is the test's.
class VmmConnectionTest : public testing::Test {
 protected:
  VmmConnectionTest() {
    auto [ours, theirs] = *CreateSocketPair();
    vmm_ = std::move(theirs);
    connection_ = *VmmConnection::Create(loop_.loop(), std::move(ours),
                                         {.on_event = [this](const control::Event& event) { OnEvent(event); },
                                          .on_closed = [this](const Error& why) { closed_.set_value(why); }});
  }

  void OnEvent(const control::Event& event) {
    if (events_++ == 0) first_event_.set_value(event);
  }

  control::Request ReadRequest() {
    control::Request request;
    EXPECT_TRUE(request.ParseFromString(ReceiveMessage(vmm_.get())->bytes));
    return request;
  }

  void Answer(uint64_t id, int code = 0, const std::string& reason = "", const std::string& message = "") {
    control::FromVmm from;
    from.mutable_reply()->set_id(id);
    from.mutable_reply()->set_code(code);
    from.mutable_reply()->set_reason(reason);
    from.mutable_reply()->set_message(message);
    ASSERT_TRUE(SendMessage(vmm_.get(), from.SerializeAsString()));
  }

  std::future<Result<control::Reply>> CallLater(milliseconds timeout = seconds(30)) {
    return std::async(std::launch::async, [this, timeout] {
      control::Request request;
      request.mutable_run();
      return connection_->Call(request, {}, timeout);
    });
  }

  LoopThread loop_;
  UniqueFd vmm_;
  std::promise<control::Event> first_event_;
  std::promise<Error> closed_;
  std::atomic<int> events_{0};
  std::unique_ptr<VmmConnection> connection_;
};

TEST_F(VmmConnectionTest, RepliesFindTheirRequests) {
  auto first = CallLater();
  const uint64_t first_id = ReadRequest().id();
  auto second = CallLater();
  const uint64_t second_id = ReadRequest().id();
  Answer(second_id, 9, "SECOND", "no");
  Answer(first_id);
  EXPECT_TRUE(first.get());
  const auto refused = second.get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(refused.error().reason(), "SECOND");
}

TEST_F(VmmConnectionTest, WhatItSaysIsMadePrintable) {
  auto call = CallLater();
  Answer(ReadRequest().id(), 3, "", "bad\x1b[2J\n");
  EXPECT_EQ(call.get().error().message(), "bad?[2J?");
}

TEST_F(VmmConnectionTest, ALateAnswerIsNobodys) {
  auto call = CallLater(milliseconds(1));
  const uint64_t id = ReadRequest().id();
  EXPECT_EQ(call.get().error().reason(), "VMM_TIMED_OUT");
  Answer(id);
  auto next = CallLater();
  Answer(ReadRequest().id());
  EXPECT_TRUE(next.get()) << "the connection lives";
}

TEST_F(VmmConnectionTest, ADeadVmmFailsEveryCall) {
  auto call = CallLater();
  ReadRequest();
  vmm_.Reset();
  EXPECT_EQ(call.get().error().reason(), "VMM_GONE");
  EXPECT_EQ(closed_.get_future().get().reason(), "VMM_GONE");
  EXPECT_EQ(CallLater().get().error().reason(), "VMM_GONE");
}

TEST_F(VmmConnectionTest, AnAnswerToNothingEndsIt) {
  Answer(99);
  EXPECT_EQ(closed_.get_future().get().reason(), "VMM_PROTOCOL_ERROR");
}

TEST_F(VmmConnectionTest, AnImpossibleAnswerEndsIt) {
  auto call = CallLater();
  Answer(ReadRequest().id(), 99);
  EXPECT_EQ(call.get().error().reason(), "VMM_PROTOCOL_ERROR");
}

TEST_F(VmmConnectionTest, AReasonIsAReason) {
  auto call = CallLater();
  Answer(ReadRequest().id(), 9, "rm -rf /");
  EXPECT_EQ(call.get().error().reason(), "VMM_PROTOCOL_ERROR");
}

TEST_F(VmmConnectionTest, GarbageEndsIt) {
  ASSERT_TRUE(SendMessage(vmm_.get(), "\xff\xff\xff"));
  EXPECT_EQ(closed_.get_future().get().reason(), "VMM_PROTOCOL_ERROR");
}

TEST_F(VmmConnectionTest, DescriptorsItSendsAreClosed) {
  auto [kept, sent] = *CreateSocketPair();
  control::FromVmm from;
  from.mutable_event()->set_text("here");
  ASSERT_TRUE(SendMessage(vmm_.get(), from.SerializeAsString(), {sent.get()}));
  sent.Reset();
  EXPECT_EQ(first_event_.get_future().get().text(), "here");
  EXPECT_FALSE(ReceiveMessage(kept.get())) << "the last copy is closed";
}

TEST_F(VmmConnectionTest, AFloodIsReadSlowlyAndTheRestOfTheLoopGoesOn) {
  std::thread flood([this] {
    control::FromVmm from;
    from.mutable_event()->set_text("flood");
    for (int i = 0; i < 5000; ++i) {
      if (!SendMessage(vmm_.get(), from.SerializeAsString())) return;
    }
  });
  first_event_.get_future().wait();
  std::promise<void> alive;
  loop_.loop().Post([&] { alive.set_value(); });
  alive.get_future().wait();
  EXPECT_LE(events_, 2000);
  connection_.reset();
  flood.join();
}

}  // namespace
}  // namespace berth::server

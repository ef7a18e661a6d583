#include "base/event_loop.h"

#include <atomic>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth {
namespace {

struct RunningLoop {
  RunningLoop() : loop(*EventLoop::Create()), thread([this] { loop->Run(); }) {}
  ~RunningLoop() {
    loop->Stop();
    thread.join();
  }
  std::unique_ptr<EventLoop> loop;
  std::thread thread;
};

TEST(EventLoop, CallRunsOnTheLoopThreadAndWaits) {
  RunningLoop running;
  std::thread::id seen;
  while (seen != running.thread.get_id()) running.loop->Call([&] { seen = std::this_thread::get_id(); });
  EXPECT_EQ(seen, running.thread.get_id());
}

// Each Call has the loop for itself, whoever runs it, and none is lost.
TEST(EventLoop, CallsFromManyThreadsWhileItStartsAndEnds) {
  const auto loop = *EventLoop::Create();
  constexpr int kCallers = 3, kCalls = 2000;
  int calls = 0;  // Of no thread's but who has the loop.
  std::atomic<int> callers = kCallers;
  std::vector<std::thread> threads;
  for (int i = 0; i < kCallers; ++i) {
    threads.emplace_back([&] {
      for (int call = 0; call < kCalls; ++call) loop->Call([&] { ++calls; });
      --callers;
    });
  }
  while (callers != 0) {
    loop->Post([&] { loop->Stop(); });
    loop->Run();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(calls, kCallers * kCalls);
}

TEST(EventLoop, PostedWorkKeepsItsOrder) {
  RunningLoop running;
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) running.loop->Post([&order, i] { order.push_back(i); });
  running.loop->Post([&] { running.loop->Stop(); });
  running.thread.join();
  running.thread = std::thread([] {});
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(EventLoop, AWatcherRemovedByAnotherOfTheSameRoundIsNotCalled) {
  auto loop = *EventLoop::Create();
  const UniqueFd first = *CreateEventFd(), second = *CreateEventFd();
  int calls = 0;
  auto callback = [&](int other) {
    return [&, other](uint32_t) {
      ++calls;
      loop->Unwatch(other);
      loop->Stop();
    };
  };
  ASSERT_TRUE(loop->Watch(first.get(), EPOLLIN, callback(second.get())));
  ASSERT_TRUE(loop->Watch(second.get(), EPOLLIN, callback(first.get())));
  SignalEventFd(first.get());
  SignalEventFd(second.get());
  loop->Run();
  EXPECT_EQ(calls, 1);
}

TEST(EventLoop, TimersRunInOrderOfTheirTimeAndCanBeCancelled) {
  auto loop = *EventLoop::Create();
  const auto now = EventLoop::Clock::now();
  std::vector<int> order;
  loop->At(now + std::chrono::milliseconds(3), [&] { loop->Stop(); });
  loop->At(now + std::chrono::milliseconds(2), [&] { order.push_back(2); });
  loop->At(now + std::chrono::milliseconds(1), [&] { order.push_back(1); });
  loop->Cancel(loop->At(now, [&] { order.push_back(0); }));
  loop->Run();
  EXPECT_THAT(order, testing::ElementsAre(1, 2));
}

TEST(EventLoop, DeferredWorkRunsOnceAtTheEndOfTheCallback) {
  auto loop = *EventLoop::Create();
  std::vector<std::string> order;
  EventLoop::Deferred deferred(loop.get(), [&] { order.push_back("deferred"); });
  EventLoop::Deferred never(loop.get(), [&] { order.push_back("never"); });
  loop->Post([&] {
    deferred.Schedule();
    never.Schedule();
    deferred.Schedule();
    never.Cancel();
    order.push_back("first");
  });
  loop->Post([&] {
    order.push_back("second");
    loop->Stop();
  });
  loop->Run();
  EXPECT_THAT(order, testing::ElementsAre("first", "deferred", "second"));
}

TEST(EventLoop, DeferredWorkMayScheduleItselfAgainOrBeDestroyed) {
  auto loop = *EventLoop::Create();
  int runs = 0;
  std::unique_ptr<EventLoop::Deferred> other;
  std::unique_ptr<EventLoop::Deferred> again;
  again = std::make_unique<EventLoop::Deferred>(loop.get(), [&] {
    other.reset();
    if (++runs < 3) again->Schedule();
    if (runs == 3) loop->Stop();
  });
  other = std::make_unique<EventLoop::Deferred>(loop.get(), [&] { runs = 100; });
  again->Schedule();
  other->Schedule();
  loop->Run();
  EXPECT_EQ(runs, 3);
}

TEST(EventLoop, OneThatLooksBeforeItSleepsMissesNothing) {
  const auto loop = *EventLoop::Create();
  loop->SpinFor(std::chrono::microseconds(50));
  const UniqueFd event = *CreateEventFd();
  int told = 0, timers = 0;
  ASSERT_TRUE(loop->Watch(event.get(), EPOLLIN, [&](uint32_t) {
    DrainEventFd(event.get());
    if (++told == 500) loop->Stop();
  }));
  loop->At(EventLoop::Clock::now(), [&] { ++timers; });
  std::thread other([&] {
    for (int seen = 0; seen < 500;) {
      SignalEventFd(event.get());
      loop->Call([&] { seen = told; });
    }
  });
  loop->Run();
  other.join();
  EXPECT_EQ(told, 500);
  EXPECT_EQ(timers, 1);
}

TEST(EventLoop, WatchingADescriptorThatIsNotThereFails) {
  auto loop = *EventLoop::Create();
  EXPECT_FALSE(loop->Watch(-1, EPOLLIN, [](uint32_t) {}));
}

}  // namespace
}  // namespace berth

// One thread that waits for descriptors, timers and work from other threads (epoll).
//
// What lives on a loop has one thread and needs no locks: devices register their descriptors here and are
// called back here; other threads reach them with Post (do it some time) or Call (do it and wait).
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "base/unique_fd.h"

namespace berth {

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using TimerId = uint64_t;

  static Result<std::unique_ptr<EventLoop>> Create();

  // Calls `callback` with the ready events while `fd` (borrowed) is ready, level-triggered. Loop thread, or
  // before Run. One watch a descriptor.
  Status Watch(int fd, uint32_t epoll_events, std::function<void(uint32_t)> callback);
  // Changes what a watched descriptor is waited for (0: nothing for now).
  Status Rewatch(int fd, uint32_t epoll_events);
  // After it returns the callback is not called again. Loop thread, or before Run. Unknown descriptors are
  // ignored.
  void Unwatch(int fd);

  // Before the loop sleeps, it looks for up to so long whether something has come: where one request follows
  // the reply to the last, waking up may take longer than they do. Only seldom where that was in vain a few
  // times. Before Run.
  void SpinFor(Clock::duration longest) { spin_ = longest; }
  // What takes its time in another way is counted apart: what others do next, and what was begun for them and
  // is to be completed. Loop thread.
  enum WaitKind : uint8_t { kForOthers, kForOwnWork };
  void SetWaitKind(WaitKind kind) { wait_kind_ = kind; }

  // Calls `callback` once, at or after `when`. Loop thread, or before Run.
  TimerId At(Clock::time_point when, std::function<void()> callback);
  void Cancel(TimerId timer);

  // Runs `work` on the loop thread, in order. Any thread. Work posted after Stop is dropped.
  void Post(std::function<void()> work);
  // Runs `work` on the loop thread and waits for it; directly when already there or when no thread runs the
  // loop. The loop must never wait for the caller.
  void Call(const std::function<void()>& work);

  // Work for the end of the callback that is running: what can be done once for many, as one interrupt for a
  // batch of completions. Loop thread, or before Run. The loop outlives it.
  class Deferred {
   public:
    Deferred(EventLoop* loop, std::function<void()> run) : loop_(loop), run_(std::move(run)) {}
    Deferred(const Deferred&) = delete;
    ~Deferred() { Cancel(); }
    // Runs once when the callback ends, however often it is called until then. Allocates nothing.
    void Schedule();
    void Cancel();

   private:
    friend class EventLoop;
    EventLoop* const loop_;
    const std::function<void()> run_;
    bool scheduled_ = false;
  };

  // Serves until Stop, which any thread may call. Run may be called again afterwards.
  void Run();
  void Stop();
  bool OnLoopThread() const { return thread_.load() == std::this_thread::get_id(); }

 private:
  EventLoop(UniqueFd epoll, UniqueFd wakeup) : epoll_(std::move(epoll)), wakeup_(std::move(wakeup)) {}
  bool PostAndWait(const std::function<void()>& work);
  bool Take(bool to_run);
  bool Free();
  void RunPosted();
  void RunDeferred();
  int RunTimers();  // Milliseconds until the next one, or -1.
  int Wait(std::span<epoll_event> events, int timeout_ms);
  int Spin(std::span<epoll_event> events);

  struct Watcher {
    std::function<void(uint32_t)> callback;
  };
  const UniqueFd epoll_;
  const UniqueFd wakeup_;
  std::atomic<std::thread::id> thread_{};  // The one in Run, or one that does a Call while none is.
  std::atomic<bool> stopping_{false};
  // Loop thread only.
  std::unordered_map<int, std::shared_ptr<Watcher>> watchers_;
  std::map<std::pair<Clock::time_point, TimerId>, std::function<void()>> timers_;
  TimerId next_timer_ = 1;
  Clock::duration spin_{0};
  int luck_[2] = {};  // By kind. Below 0: so many waits without a spin; otherwise how many were in vain.
  WaitKind wait_kind_ = kForOthers;
  std::vector<Deferred*> deferred_;  // Null where one was cancelled.

  Mutex mutex_;
  std::condition_variable freed_;  // No thread has the loop.
  bool running_ GUARDED_BY(mutex_) = false;
  std::vector<std::function<void()>> posted_ GUARDED_BY(mutex_);
  size_t calls_ GUARDED_BY(mutex_) = 0;  // Of what is posted, how much somebody waits for.
};

}  // namespace berth

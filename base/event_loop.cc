#include "base/event_loop.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace berth {
namespace {
constexpr int kMaxEventsAtOnce = 64;
// Of one kind: so many spins in vain one behind the other, and none is tried for so many waits.
constexpr int kSpinsInVain = 4, kWaitsWithoutSpin = 100;
}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::Create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return FailErrno(errno, "create an epoll descriptor");
  UniqueFd wakeup = TRY(CreateEventFd());
  const int wakeup_fd = wakeup.get();
  std::unique_ptr<EventLoop> loop(new EventLoop(std::move(epoll), std::move(wakeup)));
  TRY(loop->Watch(wakeup_fd, EPOLLIN, [raw = loop.get(), wakeup_fd](uint32_t) {
    DrainEventFd(wakeup_fd);
    raw->RunPosted();
  }));
  return loop;
}

Status EventLoop::Watch(int fd, uint32_t epoll_events, std::function<void(uint32_t)> callback) {
  epoll_event event{.events = epoll_events, .data = {.fd = fd}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    return FailErrno(errno, "watch descriptor {}", fd);
  watchers_[fd] = std::make_shared<Watcher>(Watcher{std::move(callback)});
  return Ok();
}

Status EventLoop::Rewatch(int fd, uint32_t epoll_events) {
  epoll_event event{.events = epoll_events, .data = {.fd = fd}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0)
    return FailErrno(errno, "watch descriptor {}", fd);
  return Ok();
}

void EventLoop::Unwatch(int fd) {
  if (watchers_.erase(fd) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::At(Clock::time_point when, std::function<void()> callback) {
  const TimerId id = next_timer_++;
  timers_.emplace(std::pair(when, id), std::move(callback));
  return id;
}

void EventLoop::Cancel(TimerId timer) {
  std::erase_if(timers_, [timer](const auto& entry) { return entry.first.second == timer; });
}

void EventLoop::Post(std::function<void()> work) {
  {
    MutexLock lock(mutex_);
    posted_.push_back(std::move(work));
  }
  SignalEventFd(wakeup_.get());
}

void EventLoop::Call(const std::function<void()>& work) {
  if (OnLoopThread()) return work();
  while (!PostAndWait(work)) {
    if (!Take(/*to_run=*/false)) continue;  // It runs by now.
    work();
    Free();
    return;
  }
}

// False if no thread runs the loop.
bool EventLoop::PostAndWait(const std::function<void()>& work) {
  std::condition_variable condition;
  bool done = false;
  MutexLock lock(mutex_);
  if (!running_) return false;
  posted_.push_back([&] {
    work();
    MutexLock end(mutex_);
    done = true;
    condition.notify_one();
  });
  ++calls_;
  SignalEventFd(wakeup_.get());
  while (!done) lock.Wait(condition);
  return true;
}

// Waits for a thread that has the loop for a Call alone; false if one runs it.
bool EventLoop::Take(bool to_run) {
  MutexLock lock(mutex_);
  while (!running_ && thread_.load() != std::thread::id()) lock.Wait(freed_);
  if (running_) return false;
  thread_ = std::this_thread::get_id();
  running_ = to_run;
  return true;
}

// Not while somebody waits in Call for the thread that runs it; then false.
bool EventLoop::Free() {
  MutexLock lock(mutex_);
  if (calls_ != 0) return false;
  thread_ = std::thread::id();
  if (std::exchange(running_, false)) stopping_ = false;
  freed_.notify_all();
  return true;
}

void EventLoop::Deferred::Schedule() {
  if (std::exchange(scheduled_, true)) return;
  loop_->deferred_.push_back(this);
}

void EventLoop::Deferred::Cancel() {
  if (std::exchange(scheduled_, false)) {
    std::replace(loop_->deferred_.begin(), loop_->deferred_.end(), this, static_cast<Deferred*>(nullptr));
  }
}

void EventLoop::RunDeferred() {
  // What runs may schedule more, or cancel what is yet to run.
  for (size_t i = 0; i < deferred_.size(); ++i) {
    Deferred* const work = deferred_[i];
    if (work == nullptr) continue;
    deferred_[i] = nullptr;
    work->scheduled_ = false;
    work->run_();
  }
  deferred_.clear();
}

void EventLoop::RunPosted() {
  std::vector<std::function<void()>> work;
  {
    MutexLock lock(mutex_);
    work.swap(posted_);
    calls_ = 0;
  }
  for (auto& item : work) {
    item();
    RunDeferred();
  }
}

int EventLoop::RunTimers() {
  while (!timers_.empty()) {
    const auto first = timers_.begin();
    const auto now = Clock::now();
    if (first->first.first > now) {
      const auto wait = std::chrono::ceil<std::chrono::milliseconds>(first->first.first - now);
      return static_cast<int>(std::min<int64_t>(wait.count(), 60'000));
    }
    auto callback = std::move(first->second);
    timers_.erase(first);
    callback();
    RunDeferred();
  }
  return -1;
}

// As epoll_wait.
int EventLoop::Wait(std::span<epoll_event> events, int timeout_ms) {
  if (spin_ != Clock::duration::zero()) {
    if (const int ready = Spin(events); ready != 0) return ready;
  }
  return ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
}

int EventLoop::Spin(std::span<epoll_event> events) {
  int& luck = luck_[wait_kind_];
  if (luck < 0) return ++luck, 0;
  const auto end = Clock::now() + spin_;
  do {
    const int ready = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
    if (ready != 0) return luck = 0, ready;
  } while (Clock::now() < end);
  if (++luck == kSpinsInVain) luck = -kWaitsWithoutSpin;
  return 0;
}

void EventLoop::Run() {
  CHECK(Take(/*to_run=*/true));  // One thread at a time.
  std::array<epoll_event, kMaxEventsAtOnce> events;
  RunDeferred();
  while (!stopping_) {
    const int timeout_ms = RunTimers();
    if (stopping_) break;
    const int ready = Wait(events, timeout_ms);
    for (int i = 0; i < ready; ++i) {
      // An earlier callback of this round may have taken this watcher away.
      const auto found = watchers_.find(events[i].data.fd);
      if (found == watchers_.end()) continue;
      const std::shared_ptr<Watcher> watcher = found->second;
      watcher->callback(events[i].events);
      RunDeferred();
    }
  }
  do RunPosted();
  while (!Free());
}

void EventLoop::Stop() {
  stopping_ = true;
  SignalEventFd(wakeup_.get());
}

}  // namespace berth

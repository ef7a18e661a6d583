// The last events, for those who watch.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "berth/v1/event.pb.h"

namespace berth::server {

// Any thread.
class EventLog {
 public:
  static constexpr size_t kCapacity = 1024;

  EventLog();

  // Adds an event; its time and token are set here.
  void Publish(v1::Event event);

  // Where a watcher begins: after the event of this token, or with the next one. The number of the first
  // event wanted. INVALID_ARGUMENT, BAD_RESUME_TOKEN; OUT_OF_RANGE, EVENTS_LOST, if it is of another daemon's
  // life.
  Result<uint64_t> Resume(const std::string& token);
  // The events from number `next` on, which becomes the one after them; waits for one, but no longer than
  // this. OUT_OF_RANGE, EVENTS_LOST, if some of them are gone already.
  Result<std::vector<v1::Event>> Read(uint64_t* next, std::chrono::milliseconds timeout);

 private:
  const std::string life_;  // Of this daemon's; tokens of others mean nothing.
  Mutex mutex_;
  std::condition_variable published_;
  std::deque<v1::Event> events_ GUARDED_BY(mutex_);
  uint64_t first_ GUARDED_BY(mutex_) = 0;  // Number of events_.front().
};

}  // namespace berth::server

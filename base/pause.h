// Waiting between the turns of a thread that repeats something until it is stopped.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>

namespace berth {

// Returns after `time`, or at once when `stop` is asked for, before or meanwhile.
template <typename Duration>
void Pause(const std::stop_token& stop, Duration time) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  stopped.wait_for(lock, stop, time, [] { return false; });
}

}  // namespace berth

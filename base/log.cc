#include "base/log.h"

#include <time.h>
#include <unistd.h>

namespace berth {
namespace {

void WriteToStderr(LogLevel level, std::string_view line) {
  static constexpr const char* kNames[] = {"debug", "info", "warning", "error"};
  const std::string text = fmt::format("{}: {}\n", kNames[static_cast<int>(level)], line);
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

std::atomic<LogSink> sink{WriteToStderr};
std::atomic<LogLevel> least_level{LogLevel::kInfo};

}  // namespace

void SetLogSink(LogSink new_sink) { sink = new_sink; }
void SetLogLevel(LogLevel least) { least_level = least; }
bool LogEnabled(LogLevel level) { return level >= least_level.load(std::memory_order_relaxed); }
void LogLine(LogLevel level, std::string_view line) { sink.load()(level, line); }

bool LogLimiter::Admit(uint64_t* held_back) {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const int64_t now_ms = now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
  int64_t last = last_refill_ms_.load(std::memory_order_relaxed);
  if (now_ms - last >= 1000 && last_refill_ms_.compare_exchange_strong(last, now_ms)) {
    uint32_t tokens = tokens_.load(std::memory_order_relaxed);
    while (tokens < burst_ && !tokens_.compare_exchange_weak(tokens, tokens + 1)) {
    }
  }
  uint32_t tokens = tokens_.load(std::memory_order_relaxed);
  while (tokens > 0) {
    if (tokens_.compare_exchange_weak(tokens, tokens - 1)) {
      *held_back = held_back_.exchange(0);
      return true;
    }
  }
  ++held_back_;
  return false;
}

}  // namespace berth

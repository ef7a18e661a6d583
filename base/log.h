// Lines for the operator. The program chooses where they go; what a guest can cause is rate-limited at the
// call.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string_view>

#include <fmt/format.h>

namespace berth {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

using LogSink = void (*)(LogLevel level, std::string_view line);

// The sink gets whole lines without their end, from any thread. Until one is set they go to stderr. Set it
// once, at the start of main.
void SetLogSink(LogSink sink);
void SetLogLevel(LogLevel least);
bool LogEnabled(LogLevel level);
void LogLine(LogLevel level, std::string_view line);

// Lets `burst` lines through, then one line a second; the next line that passes says how many were held back.
// For every line that a guest or a peer can cause at will. Any thread.
class LogLimiter {
 public:
  explicit constexpr LogLimiter(uint32_t burst = 10) : tokens_(burst), burst_(burst) {}
  // True if a line may be written now; `held_back` gets the number of lines dropped since the last one.
  bool Admit(uint64_t* held_back);

 private:
  std::atomic<int64_t> last_refill_ms_{0};
  std::atomic<uint32_t> tokens_;
  std::atomic<uint64_t> held_back_{0};
  const uint32_t burst_;
};

#define BERTH_LOG(level, ...) \
  (::berth::LogEnabled(level) ? ::berth::LogLine(level, ::fmt::format(__VA_ARGS__)) : (void)0)
#define LOG_DEBUG(...) BERTH_LOG(::berth::LogLevel::kDebug, __VA_ARGS__)
#define LOG_INFO(...) BERTH_LOG(::berth::LogLevel::kInfo, __VA_ARGS__)
#define LOG_WARNING(...) BERTH_LOG(::berth::LogLevel::kWarning, __VA_ARGS__)
#define LOG_ERROR(...) BERTH_LOG(::berth::LogLevel::kError, __VA_ARGS__)

// A warning that something outside our control can repeat: limited at each place it stands.
#define LOG_WARNING_LIMITED(...)                                            \
  do {                                                                      \
    static constinit ::berth::LogLimiter log_limiter;                       \
    if (uint64_t held = 0; log_limiter.Admit(&held)) {                      \
      LOG_WARNING("{}{}", ::fmt::format(__VA_ARGS__),                       \
                  held ? ::fmt::format(" ({} more like this)", held) : ""); \
    }                                                                       \
  } while (false)

}  // namespace berth

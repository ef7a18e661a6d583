#include "base/trace.h"

#include <fnmatch.h>

#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/log.h"

namespace berth::trace {
namespace {

// Written by static initializers alone, before there are threads.
std::vector<std::span<Event>>& Rooms() {
  static std::vector<std::span<Event>> rooms;
  return rooms;
}

}  // namespace

void Register(std::span<Event> events) { Rooms().push_back(events); }

int Enable(std::string_view glob, bool enabled) {
  const std::string pattern(glob);
  int matched = 0;
  for (const std::span<Event>& room : Rooms()) {
    for (Event& event : room) {
      const std::string name = fmt::format("{}/{}", event.room, event.name);
      if (::fnmatch(pattern.c_str(), name.c_str(), 0) != 0) continue;
      event.enabled.store(enabled, std::memory_order_relaxed);
      ++matched;
    }
  }
  return matched;
}

void Emit(const Event& event, std::string_view text) {
  LogLine(LogLevel::kInfo, fmt::format("{}/{} {}", event.room, event.name, text));
}

}  // namespace berth::trace

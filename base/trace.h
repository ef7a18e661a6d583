// Trace events: declared in a room's `trace-events` file, generated into inline functions, enabled by
// pattern.
//
// A line of that file is one event: NAME(TYPE ARGUMENT, ...) "format", with fmt's placeholders in order of
// the arguments. tools/trace-gen makes ROOM/trace.h of it, with `trace::NAME(...)`: while an event is
// disabled a call costs one relaxed load and a branch. Back ends: the log.
#pragma once

#include <atomic>
#include <span>
#include <string_view>

namespace berth::trace {

struct Event {
  const char* room;
  const char* name;
  std::atomic<bool> enabled{false};
};

// Called once a room, from the generated code, before main.
void Register(std::span<Event> events);

// Enables or disables every event whose "room/name" matches the glob (`hw/virtio/*`, `*`), and returns how
// many matched. Any thread.
int Enable(std::string_view glob, bool enabled = true);

// Hands one line to the back ends.
void Emit(const Event& event, std::string_view text);

}  // namespace berth::trace

#include "vmm/event_log.h"

#include <chrono>

namespace berth::vmm {

void EventLog::SetState(v1::MachineState state, std::string text) {
  state_ = state;
  Add(v1::Event::STATE_CHANGED, {}, std::move(text));
}

void EventLog::Add(v1::Event::Kind kind, std::string device_id, std::string text) {
  v1::Event event;
  event.set_time_us(static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                              std::chrono::system_clock::now().time_since_epoch())
                                              .count()));
  event.set_kind(kind);
  event.set_state(state_);
  event.set_device_id(std::move(device_id));
  event.set_text(std::move(text));
  if (events_.size() == kKept) events_.pop_front();
  events_.push_back(event);
  if (listener_) listener_(event);
}

}  // namespace berth::vmm

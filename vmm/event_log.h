// What happened to the machine: the last events, and whoever wants to know of the next ones.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "berth/vmm/v1/control.pb.h"

namespace berth::vmm {

// Control thread only.
class EventLog {
 public:
  static constexpr size_t kKept = 64;

  // A change of the machine's state.
  void SetState(v1::MachineState state, std::string text);
  // Whatever else happens while it is in that state; `device_id` is empty for the machine itself.
  void Add(v1::Event::Kind kind, std::string device_id, std::string text);
  const std::deque<v1::Event>& events() const { return events_; }
  // Called with each event from now on.
  void SetListener(std::function<void(const v1::Event&)> listener) { listener_ = std::move(listener); }

 private:
  v1::MachineState state_ = v1::BUILDING;
  std::deque<v1::Event> events_;
  std::function<void(const v1::Event&)> listener_;
};

}  // namespace berth::vmm

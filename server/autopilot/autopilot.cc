#include "server/autopilot/autopilot.h"

#include <poll.h>

#include <thread>

#include "base/log.h"
#include "base/unique_fd.h"
#include "server/autopilot/act.h"
#include "server/autopilot/look.h"
#include "server/overcommit/autopilot.h"

namespace berth::server {
namespace {

// Pressure has us look at once, but not without end.
constexpr std::chrono::milliseconds kLeastInterval{1000};
constexpr std::chrono::seconds kPressureWindow{2};

class AutopilotThread final : public Autopilot {
 public:
  AutopilotThread(Engine& engine, GuestVerbs& verbs, const host::HostControl& control, UniqueFd stop)
      : policy_(engine.settings.policy.memory),
        look_(engine, control.roots),
        actor_(engine, verbs, control),
        decide_(policy_),
        stop_(std::move(stop)) {
    // Half of what is tolerable, so that it is not too late.
    const auto stall = std::chrono::microseconds(kPressureWindow) * policy_.pressure_percent / 200;
    auto watched = host::WatchPressure(control.roots.proc + "/pressure/memory", stall, kPressureWindow);
    if (watched) {
      pressure_ = *std::move(watched);
    } else {
      LOG_INFO("memory: no sign of pressure comes from the kernel ({}): looking every {} s",
               watched.error().message(), policy_.interval_seconds);
    }
    thread_ = std::thread([this] { Run(); });
  }
  ~AutopilotThread() override {
    SignalEventFd(stop_.get());
    thread_.join();
  }

 private:
  void Run() {
    do {
      actor_.LimitGuests(policy_.guest_memory_bytes);
      const MemoryFacts facts = look_.Look(HostLook::Clock::now(), actor_.merging_is_ours());
      if (!policy_.autopilot) continue;
      if (!facts.guests.empty()) LOG_DEBUG("memory facts: {}", ToLine(facts));
      for (const MemoryAction& action : decide_.Step(facts)) actor_.Do(action);
    } while (Wait());
  }

  // False when it is to end.
  bool Wait() {
    pollfd polled[] = {{stop_.get(), POLLIN, 0}, {pressure_ ? pressure_.get() : -1, POLLPRI, 0}};
    if (::poll(polled, 1, static_cast<int>(kLeastInterval.count())) > 0) return false;
    const auto rest =
        std::chrono::milliseconds(std::chrono::seconds(policy_.interval_seconds)) - kLeastInterval;
    if (rest.count() > 0) ::poll(polled, 2, static_cast<int>(rest.count()));
    if (polled[1].revents & POLLERR) pressure_.Reset();
    return (polled[0].revents & POLLIN) == 0;
  }

  const MemoryPolicy policy_;
  HostLook look_;
  Actor actor_;
  MemoryAutopilot decide_;
  const UniqueFd stop_;
  UniqueFd pressure_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Autopilot>> StartAutopilot(Engine& engine, GuestVerbs& verbs,
                                                  const host::HostControl& control) {
  return std::make_unique<AutopilotThread>(engine, verbs, control, TRY(CreateEventFd()));
}

}  // namespace berth::server

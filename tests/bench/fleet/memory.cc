#include "tests/bench/fleet/memory.h"

#include <algorithm>
#include <cmath>

#include "base/bytes.h"
#include "tests/fakes/random.h"

namespace berth::fleet {
namespace {

using server::GuestMemoryFacts;
using server::MemoryAction;
using server::MemoryFacts;

constexpr double kHour = 3600, kHostMib = 16'384, kSold = 1.5, kSwapPart = 0.25;

double Mib(uint64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(kMiB); }

MemoryAction Resize(const GuestMemoryFacts& guest, double to_mib) {
  const double memory = Mib(guest.memory_bytes);
  return {
      .kind = MemoryAction::Kind::kShrink,
      .guest = guest.guest,
      .bytes = static_cast<uint64_t>((memory - std::clamp(to_mib, 0.0, memory)) * static_cast<double>(kMiB))};
}

class Berth final : public MemoryRule {
 public:
  std::vector<MemoryAction> Step(const MemoryFacts& facts) override { return autopilot_.Step(facts); }
  double interval_seconds() const override { return 5; }

 private:
  server::MemoryAutopilot autopilot_{{}};
};

class Nobody final : public MemoryRule {
 public:
  std::vector<MemoryAction> Step(const MemoryFacts&) override { return {}; }
  double interval_seconds() const override { return 60; }
};

// oVirt's Memory Overcommitment Manager, as its balloon policy is documented: below a fifth free all shrink
// by a twentieth, towards what they use and a part that falls with what is free; else all grow by a
// twentieth.
class Mom final : public MemoryRule {
 public:
  std::vector<MemoryAction> Step(const MemoryFacts& facts) override {
    constexpr double kPlenty = 0.20, kSevere = 0.05, kStep = 0.05, kLeast = 0.0025;
    std::vector<MemoryAction> actions;
    const double free = static_cast<double>(facts.available_bytes) / static_cast<double>(facts.total_bytes);
    for (const GuestMemoryFacts& guest : facts.guests) {
      if (!guest.balloon) continue;
      const double most = Mib(guest.memory_bytes), least = Mib(guest.reserved_bytes);
      const double now = most - Mib(guest.balloon->actual_bytes);
      const double used = now - Mib(guest.balloon->available_bytes);
      if (free < kPlenty) {
        const double part = free <= kSevere ? free - kSevere : free;
        const double to = std::max((1 - kStep) * now, std::max(least, used + part * now));
        if (to <= now && now - to > kLeast * now) actions.push_back(Resize(guest, to));
      } else if (guest.balloon->actual_bytes > 0) {
        actions.push_back(
            Resize(guest, std::min(most, std::max({(1 + kStep) * now, least, used + kPlenty * now}))));
      }
    }
    return actions;
  }
  double interval_seconds() const override { return 10; }
};

// Proxmox VE's: use of the host is brought to four fifths, by shares, at most 100 MiB a guest a step; guests
// with less than a quarter of their minimum free grow first and do not shrink.
class Proxmox final : public MemoryRule {
 public:
  std::vector<MemoryAction> Step(const MemoryFacts& facts) override {
    constexpr double kUsed = 0.80, kIgnored = 10, kStep = 100, kNeedy = 0.25;
    const double total = Mib(facts.total_bytes), used = total - Mib(facts.available_bytes);
    double goal = kUsed * total - used;
    std::vector<MemoryAction> actions;
    if (std::abs(goal) <= kIgnored) return actions;
    std::vector<const GuestMemoryFacts*> chosen;
    for (const bool needy : goal > 0 ? std::vector{true, false} : std::vector{false}) {
      chosen.clear();
      for (const GuestMemoryFacts& guest : facts.guests) {
        if (!guest.balloon) continue;
        const bool is_needy = Mib(guest.balloon->available_bytes) <= kNeedy * Mib(guest.reserved_bytes);
        if (is_needy == needy && (goal < 0 || guest.balloon->actual_bytes > 0)) chosen.push_back(&guest);
      }
      if (!chosen.empty()) break;
    }
    double above = 0, shares = 0;
    for (const GuestMemoryFacts* guest : chosen) {
      above += Mib(guest->memory_bytes - std::min(guest->memory_bytes, guest->balloon->actual_bytes)) -
               Mib(guest->reserved_bytes);
      shares += guest->shares;
    }
    for (const GuestMemoryFacts* guest : chosen) {
      const double now = Mib(guest->memory_bytes) - Mib(guest->balloon->actual_bytes);
      const double least = Mib(guest->reserved_bytes);
      const double wanted = least + std::max(0.0, above + goal) / shares * guest->shares;
      const double to = std::clamp(wanted, std::max(least, now - kStep), now + kStep);
      if ((goal > 0) == (to > now)) actions.push_back(Resize(*guest, to));
    }
    return actions;
  }
  double interval_seconds() const override { return 10; }
};

std::vector<server::SimulatedGuest> MakeGuests(Random& random) {
  std::vector<server::SimulatedGuest> guests;
  for (double left = kSold * kHostMib; left > 0;) {
    const double memory = std::min(std::max(256.0, left), std::min(512 * random.Pareto(1, 1.2), 6144.0));
    left -= memory;
    // Most need half or less of what they bought, most of the time.
    const double base = memory * (0.10 + 0.40 * random.Unit());
    const double peak = memory * std::min(0.95, 0.5 + 0.5 * random.Unit());
    const double period = 600 + 2400 * random.Unit(), on = 30 + 0.2 * period * random.Unit();
    const double phase = period * random.Unit(), ramp = 20 + 40 * random.Unit();
    guests.push_back({.name = std::to_string(guests.size()),
                      .memory_mib = memory,
                      .reserved_mib = memory / 4,
                      .need_mib =
                          [=](double seconds) {
                            const double at = std::fmod(seconds + period - phase, period);
                            if (at >= on) return base;
                            return base + (peak - base) * std::min(1.0, at / ramp);
                          },
                      .idle_part = 0.3 * random.Unit(),
                      .balloon = !random.OneIn(10)});
  }
  return guests;
}

}  // namespace

std::vector<MemoryRuleKind> MemoryRules() {
  return {{"berth", [] { return std::make_unique<Berth>(); }},
          {"mom", [] { return std::make_unique<Mom>(); }},
          {"proxmox", [] { return std::make_unique<Proxmox>(); }},
          {"nobody", [] { return std::make_unique<Nobody>(); }}};
}

MemoryOutcome SimulateMemory(const MemoryRuleKind& kind, int hosts, uint64_t seed) {
  Random random(seed);
  MemoryOutcome outcome;
  double looks = 0, squeezed = 0, changes = 0, guest_count = 0;
  for (int i = 0; i < hosts; ++i) {
    server::SimulatedHost host(kHostMib, kSwapPart * kHostMib, MakeGuests(random));
    const auto rule = kind.make();
    while (host.seconds < kHour) {
      host.Advance(rule->interval_seconds());
      const std::vector<MemoryAction> actions = rule->Step(host.Facts());
      for (const MemoryAction& action : actions) {
        if (!action.guest.empty() && action.kind != MemoryAction::Kind::kReclaim) ++changes;
        host.Do(action);
      }
      for (const auto& guest : host.guests) {
        looks += rule->interval_seconds();
        if (guest.memory_mib - guest.target_mib < guest.used_mib) squeezed += rule->interval_seconds();
      }
    }
    outcome.stalled_percent += 100 * host.stalled_seconds() / kHour / hosts;
    if (host.out_of_memory > 0) outcome.out_of_memory += 100.0 / hosts;
    guest_count += static_cast<double>(host.guests.size());
  }
  outcome.squeezed_percent = 100 * squeezed / looks;
  outcome.balloons_an_hour = changes / guest_count;
  return outcome;
}

}  // namespace berth::fleet

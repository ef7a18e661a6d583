// What the memory autopilot sees of a host and its guests at one moment, and what it decides: plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/ksm.h"
#include "host/pressure.h"
#include "server/overcommit/policy.h"

namespace berth::server {

// What a guest with a working driver says. It may lie: nothing but its own memory depends on it.
struct BalloonFacts {
  uint64_t target_bytes = 0;     // What it is asked to give up…
  uint64_t actual_bytes = 0;     // …and has given up.
  uint64_t available_bytes = 0;  // What it could give up without swapping, besides.
};

struct GuestMemoryFacts {
  std::string guest;                    // "guests/a"
  uint64_t memory_bytes = 0;            // As it was sold…
  uint64_t reserved_bytes = 0;          // …of it, what is never taken back…
  uint64_t limit_bytes = ~uint64_t{0};  // …and what it gets at most.
  // Devices reach it by DMA, or it is in huge pages: nothing here touches it.
  bool pinned = false;
  bool mergeable = false;
  bool frozen = false;  // By us.
  LastResort last_resort = LastResort::kNone;
  int shares = 100;
  uint64_t resident_bytes = 0;   // Of its memory, in the host's…
  uint64_t swapped_bytes = 0;    // …and in the host's swap.
  uint64_t refaulted_pages = 0;  // Since its start.
  host::Pressure pressure;
  std::optional<BalloonFacts> balloon;  // None without a driver that answers.
};

struct MemoryFacts {
  double seconds = 0;  // Of a clock that only goes forward.
  // Of the host, or of the cgroup of all guests where that has a limit.
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;
  uint64_t swap_free_bytes = 0;
  // Of what is swapped, what zswap holds in memory, and what that takes.
  uint64_t zswapped_bytes = 0, zswap_pool_bytes = 0;
  std::optional<host::Pressure> pressure;  // None: the kernel has no PSI.
  std::optional<host::KsmState> ksm;
  bool merging_is_ours = false;  // The kernel was not merging before we had it do so.
  int nodes = 1;
  std::vector<GuestMemoryFacts> guests;
};

// One line, of which tests make facts again: seconds, total, available, free swap, pressure (percent,
// microseconds); then for each guest its name, memory, reservation, resident and swapped bytes, refaulted
// pages, and target, actual and available bytes of its balloon, or dashes.
std::string ToLine(const MemoryFacts& facts);

struct MemoryAction {
  // In the order in which they are taken. kGrow, kRelax and kThaw take back what others did.
  enum class Kind { kTell, kShrink, kReclaim, kMerge, kFreeze, kEvict, kGrow, kRelax, kThaw };
  Kind kind = Kind::kTell;
  std::string guest;   // Empty: the host's.
  uint64_t bytes = 0;  // kShrink, kGrow: the balloon's new size. kReclaim: how much.
  host::KsmSettings ksm;
  std::string reason;  // For a person, with the numbers that led to it.
};

}  // namespace berth::server

// Which of two places for a guest is the better one: whole numbers, compared one after the other.
#pragma once

#include <compare>
#include <cstdint>

#include "server/placement/node_room.h"

namespace berth::server {

// Less is better.
struct Score {
  int64_t cpu_distance = 0;     // Of memory from the CPUs that the owner chose.
  int64_t device_distance = 0;  // Of devices from the guest's nodes, beyond local.
  int64_t spread = 0;           // Between the guest's host nodes.
  int64_t devices_beside = 0;   // Left on these nodes for guests that want devices.
  int64_t load = 0;             // Of shared CPUs afterwards, in quarters of what may be promised.
  int64_t placeable_lost = 0;   // See Placeable.

  friend auto operator<=>(const Score&, const Score&) = default;
};

// What the node can still hold, in core times guests: for guests of 1, 2, 4… cores, each with its part of the
// node's memory, how many fit, times their size. Large guests need large holes: those count most.
int64_t Placeable(const HostModel& model, int node, const NodeRoom& room);

// Quarters of the node's shared CPUs that are promised, rounded up.
int64_t LoadQuarters(const NodeRoom& room);

}  // namespace berth::server

// Which device each of a guest's device requests gets.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "server/placement/host_room.h"

namespace berth::server {

struct DeviceMatch {
  int64_t distance = 0;    // Sum of what is beyond local, of required and preferred devices.
  std::vector<int> picks;  // For each request an index of PlacementRequest::candidates.
};

// Candidates that are taken are left out. Devices that the same requests accept and that are on one node are
// one class, so that a host with hundreds of them costs no more than one with a few.
class DeviceMatcher {
 public:
  // Borrows all; `request` has at most kMaxDevices devices.
  DeviceMatcher(const HostModel& model, const HostRoom& room, const PlacementRequest& request);

  // Of all ways to give each request a device of its own, required ones on `nodes`, the one of least distance
  // from these; none if there is none.
  std::optional<DeviceMatch> Match(NodeMask nodes) const;

 private:
  struct Class {
    int node = -1;                // Index; -1: unknown, near to every node.
    NodeMask home = 0;            // Its node, or the nearest that have CPUs if that has none.
    uint32_t requests = 0;        // That accept it, as bits.
    std::vector<int> candidates;  // Ascending.
  };
  // What giving a request a device of a class costs; negative: impossible.
  int64_t CostOf(size_t request, const Class& devices, NodeMask nodes) const;

  const HostModel& model_;
  const PlacementRequest& request_;
  std::vector<Class> classes_;
};

}  // namespace berth::server

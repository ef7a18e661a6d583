// The search for host nodes: every subset of the least size that holds the guest is scored.
#pragma once

#include <optional>
#include <vector>

#include "server/placement/device_match.h"
#include "server/placement/node_room.h"
#include "server/placement/score.h"

namespace berth::server {

// How guest nodes map to host nodes.
enum class Family {
  kOneEach,   // Each to one of its own.
  kTogether,  // All to one.
  kSpan,      // The only one to several.
};

struct Attempt {
  Family family = Family::kOneEach;
  std::vector<PlacementRequest::Node> nodes;  // The guest's.
  std::vector<Demand> demands;                // Of these.
};

// What one host node is to hold of the guest.
struct Part {
  int guest_node = 0;
  int host_node = 0;  // Index.
  Demand demand;
};

struct Choice {
  CpuShape shape;
  std::vector<PlacementRequest::Node> guest_nodes;
  Score score;
  NodeMask nodes = 0;
  std::vector<Part> parts;  // By guest node, then host node.
  DeviceMatch devices;
};

// What the search works on; all is looked up once.
struct Problem {
  const HostModel& model;
  const PlacementRequest& request;
  CpuShape shape;
  const DeviceMatcher& devices;
  NodeMask usable = 0;          // Nodes that the guest may have.
  std::vector<NodeRoom> rooms;  // By node index.
};

// A host with more subsets of a size than this is searched from each node outwards; what fits is still found,
// unless required devices are what makes it hard.
inline constexpr uint64_t kMaxSubsets = 20'000;

std::optional<Choice> FindBest(const Problem& problem, const Attempt& attempt);

// The demand of a guest node over these host nodes: vCPUs evenly, memory by vCPUs, both as far as there is
// room; empty if there is not.
std::vector<Part> SplitOver(const Problem& problem, const Demand& demand, NodeMask nodes);

// All of the guest as one.
Demand SumOf(const std::vector<Demand>& demands);

}  // namespace berth::server

#include "server/placement/search.h"

#include <algorithm>
#include <bit>

#include "server/placement/subsets.h"

namespace berth::server {
namespace {

Score Sum(const Score& a, const Score& b) {
  return {.cpu_distance = a.cpu_distance + b.cpu_distance,
          .device_distance = a.device_distance + b.device_distance,
          .spread = a.spread + b.spread,
          .devices_beside = a.devices_beside + b.devices_beside,
          .load = a.load + b.load,
          .placeable_lost = a.placeable_lost + b.placeable_lost};
}

// What holding `demand` costs on this node alone.
Score CostOn(const Problem& problem, int node, const Demand& demand) {
  const NodeRoom& before = problem.rooms[node];
  const NodeRoom after =
      After(before, demand, problem.shape, problem.request.page_size_bytes, problem.model.threads_per_core);
  Score cost;
  for (int cpu_node : demand.cpu_nodes)
    cost.cpu_distance += problem.model.nodes[cpu_node].distances[node] - 10;
  if (demand.millicpus > 0) cost.load = LoadQuarters(after);
  cost.placeable_lost = Placeable(problem.model, node, before) - Placeable(problem.model, node, after);
  return cost;
}

unsigned LacksOn(const Problem& problem, int node, const Demand& demand) {
  if (demand.host_node >= 0 && demand.host_node != node) return kLackHostNode;
  return LacksOf(problem.rooms[node], demand, problem.shape, problem.request.page_size_bytes);
}

// The best so far, and what makes a set of nodes the best.
class Best {
 public:
  explicit Best(const Problem& problem) : problem_(problem) {}

  // `parts` hold the guest on `nodes`, at this cost; ties go to whoever came first. Devices are to be where
  // the guest has memory.
  void Offer(NodeMask nodes, const Score& cost, std::vector<Part> parts) {
    NodeMask with_memory = 0;
    for (const Part& part : parts) {
      if (part.demand.pages > 0) with_memory |= NodeMask{1} << part.host_node;
    }
    auto devices = problem_.devices.Match(with_memory);
    if (!devices) return;
    Score score = cost;
    score.device_distance = devices->distance;
    for (int a : IndicesOf(nodes)) {
      score.devices_beside += problem_.rooms[a].devices;
      for (int b : IndicesOf(nodes)) {
        if (a != b) score.spread += problem_.model.nodes[a].distances[b];
      }
    }
    for (int pick : devices->picks) {
      const auto& node = problem_.request.candidates[pick].host_node;
      const int index = node ? problem_.model.IndexOfNode(*node) : -1;
      if (index >= 0 && (nodes >> index & 1)) --score.devices_beside;
    }
    if (best_ && best_->score <= score) return;
    best_ = Choice{.score = score, .nodes = nodes, .parts = std::move(parts), .devices = *std::move(devices)};
  }

  bool found() const { return best_.has_value(); }
  std::optional<Choice> Take() { return std::move(best_); }

 private:
  const Problem& problem_;
  std::optional<Choice> best_;
};

// Each guest node on one of its own: which goes where is settled by dynamic programming over the nodes taken.
class OneEach {
 public:
  OneEach(const Problem& problem, const std::vector<Demand>& demands) : problem_(problem), demands_(demands) {
    for (const Demand& demand : demands) {
      auto& fits = costs_.emplace_back(problem.rooms.size());
      for (int node : IndicesOf(problem.usable)) {
        if (LacksOn(problem, node, demand) != 0) continue;
        fits[node] = CostOn(problem, node, demand);
        reachable_ |= NodeMask{1} << node;
      }
    }
  }

  std::optional<Choice> Find() {
    const int count = static_cast<int>(demands_.size());
    Best best(problem_);
    for (NodeMask nodes : Subsets(problem_.model, reachable_, count, kMaxSubsets)) Offer(nodes, &best);
    // Where not every subset was looked at, at least one that fits is.
    if (!best.found()) {
      if (const NodeMask nodes = AnyMatching(); nodes != 0) Offer(nodes, &best);
    }
    return best.Take();
  }

 private:
  void Offer(NodeMask mask, Best* best) {
    const std::vector<int> nodes = IndicesOf(mask);
    const size_t count = nodes.size();
    struct State {
      std::optional<Score> cost;
      int last = 0;
    };
    // By the set of nodes, as positions, that the first guest nodes have.
    std::vector<State> states(size_t{1} << count);
    states[0].cost = Score{};
    for (size_t taken = 0; taken + 1 < states.size(); ++taken) {
      if (!states[taken].cost) continue;
      const auto& fits = costs_[std::popcount(taken)];
      for (size_t i = 0; i < count; ++i) {
        if ((taken >> i & 1) || !fits[nodes[i]]) continue;
        const Score cost = Sum(*states[taken].cost, *fits[nodes[i]]);
        State& next = states[taken | size_t{1} << i];
        if (!next.cost || cost < *next.cost) next = {.cost = cost, .last = static_cast<int>(i)};
      }
    }
    if (!states.back().cost) return;
    std::vector<Part> parts(count);
    size_t taken = states.size() - 1;
    for (size_t guest = count; guest-- > 0;) {
      const int last = states[taken].last;
      parts[guest] = {
          .guest_node = static_cast<int>(guest), .host_node = nodes[last], .demand = demands_[guest]};
      taken &= ~(size_t{1} << last);
    }
    best->Offer(mask, *states.back().cost, std::move(parts));
  }

  // Any nodes that hold the guest nodes, by augmenting paths; 0 if there are none.
  NodeMask AnyMatching() const {
    std::vector<int> guest_on(problem_.rooms.size(), -1);
    for (size_t guest = 0; guest < demands_.size(); ++guest) {
      NodeMask visited = 0;
      if (!Augment(static_cast<int>(guest), &guest_on, &visited)) return 0;
    }
    NodeMask nodes = 0;
    for (size_t node = 0; node < guest_on.size(); ++node) {
      if (guest_on[node] >= 0) nodes |= NodeMask{1} << node;
    }
    return nodes;
  }
  bool Augment(int guest, std::vector<int>* guest_on, NodeMask* visited) const {
    for (int node : IndicesOf(reachable_ & ~*visited)) {
      if (!costs_[guest][node] || (*visited >> node & 1)) continue;
      *visited |= NodeMask{1} << node;
      int& other = (*guest_on)[node];
      if (other >= 0 && !Augment(other, guest_on, visited)) continue;
      (*guest_on)[node] = guest;
      return true;
    }
    return false;
  }

  const Problem& problem_;
  const std::vector<Demand>& demands_;
  std::vector<std::vector<std::optional<Score>>> costs_;  // By guest node, host node; none: does not fit.
  NodeMask reachable_ = 0;
};

std::optional<Choice> FindTogether(const Problem& problem, const std::vector<Demand>& demands) {
  const Demand sum = SumOf(demands);
  Best best(problem);
  for (int node : IndicesOf(problem.usable)) {
    const bool elsewhere = std::any_of(demands.begin(), demands.end(), [&](const Demand& demand) {
      return demand.host_node >= 0 && demand.host_node != node;
    });
    if (elsewhere || LacksOn(problem, node, sum) != 0) continue;
    std::vector<Part> parts;
    for (size_t guest = 0; guest < demands.size(); ++guest)
      parts.push_back({.guest_node = static_cast<int>(guest), .host_node = node, .demand = demands[guest]});
    best.Offer(NodeMask{1} << node, CostOn(problem, node, sum), std::move(parts));
  }
  return best.Take();
}

// The only guest node over several host nodes.
class Span {
 public:
  Span(const Problem& problem, const Demand& demand) : problem_(problem), demand_(demand) {}

  std::optional<Choice> Find() {
    // More nodes never hold less: if all do not, none do.
    if (demand_.host_node >= 0 || SplitOver(problem_, demand_, problem_.usable).empty()) return std::nullopt;
    const int usable = std::popcount(problem_.usable);
    Best best(problem_);
    for (int size = 2; size <= usable && !best.found(); ++size) {
      if (!MayHold(size)) continue;
      for (NodeMask nodes : Subsets(problem_.model, problem_.usable, size, kMaxSubsets)) Offer(nodes, &best);
    }
    return best.Take();
  }

 private:
  void Offer(NodeMask nodes, Best* best) {
    std::vector<Part> parts = SplitOver(problem_, demand_, nodes);
    if (parts.empty()) return;
    Score cost;
    for (const Part& part : parts) cost = Sum(cost, CostOn(problem_, part.host_node, part.demand));
    for (int cpu_node : demand_.cpu_nodes) cost.cpu_distance += DistanceFrom(cpu_node, nodes);
    best->Offer(nodes, cost, std::move(parts));
  }

  int DistanceFrom(int node, NodeMask nodes) const {
    int nearest = 255;
    for (int other : IndicesOf(nodes))
      nearest = std::min(nearest, problem_.model.nodes[node].distances[other] - 10);
    return nearest;
  }

  // Whether the `size` nodes with most CPUs, and those with most memory, would do: a quick no.
  bool MayHold(int size) const {
    std::vector<uint64_t> bytes;
    std::vector<int> cpus;
    for (int node : IndicesOf(problem_.usable)) {
      bytes.push_back(problem_.rooms[node].bytes);
      cpus.push_back(std::max(problem_.rooms[node].dedicable(), 0));
    }
    std::sort(bytes.rbegin(), bytes.rend());
    std::sort(cpus.rbegin(), cpus.rend());
    uint64_t most_bytes = 0;
    int most_cpus = 0;
    for (int i = 0; i < size; ++i) {
      most_bytes += bytes[i];
      most_cpus += cpus[i];
    }
    return most_bytes >= demand_.bytes && most_cpus >= demand_.dedicated();
  }

  const Problem& problem_;
  const Demand& demand_;
};

}  // namespace

std::optional<Choice> FindBest(const Problem& problem, const Attempt& attempt) {
  std::optional<Choice> choice;
  switch (attempt.family) {
    case Family::kOneEach:
      choice = OneEach(problem, attempt.demands).Find();
      break;
    case Family::kTogether:
      choice = FindTogether(problem, attempt.demands);
      break;
    case Family::kSpan:
      choice = Span(problem, attempt.demands[0]).Find();
      break;
  }
  if (choice) {
    choice->shape = problem.shape;
    choice->guest_nodes = attempt.nodes;
  }
  return choice;
}

}  // namespace berth::server

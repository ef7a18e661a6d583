#include "server/placement/refusal.h"

#include <algorithm>

#include "base/bytes.h"
#include "server/placement/subsets.h"

namespace berth::server {
namespace {

// Thousandths as "2.25".
std::string Cpus(int64_t millicpus) { return fmt::format("{:g}", static_cast<double>(millicpus) / 1000); }

std::string CoresText(const NodeRoom& room, const Demand& demand, const CpuShape& shape) {
  if (shape.isolate || shape.group == 1)
    return fmt::format("{} whole cores asked for, {} free", demand.dedicated(), room.whole_cores);
  return fmt::format("{} cores' worth of {} sibling threads asked for, {} free",
                     demand.dedicated() / shape.group, shape.group, room.groups);
}

std::string SharedText(const NodeRoom& room, const Demand& demand) {
  const int used = room.common_pool ? demand.dedicated() + demand.helpers : 0;
  const int sharable = std::max(room.sharable - used, 0);
  if (demand.shared() > sharable)
    return fmt::format("{} shared vCPUs, and {} CPUs to share", demand.shared(), sharable);
  return fmt::format("shared vCPUs that count for {} CPUs, and of {} CPUs to share {} are promised",
                     Cpus(demand.millicpus), sharable, Cpus(room.shared_millicpus));
}

std::string Describe(unsigned lacks, const NodeRoom& room, const Demand& demand, const Problem& problem) {
  const PlacementRequest& request = problem.request;
  std::string text;
  const auto add = [&](const std::string& reason) { text += (text.empty() ? "" : "; ") + reason; };
  if (lacks & kLackCpus) {
    add(fmt::format("{} CPUs to be dedicated{}, {} free",
                    ThreadsUsed(room, demand, problem.shape) + demand.helpers,
                    problem.shape.group > 1 || problem.shape.isolate ? " as whole cores" : "",
                    std::max(room.dedicable(), 0)));
  }
  if (lacks & kLackCores) add(CoresText(room, demand, problem.shape));
  if (lacks & kLackSharedCpus) add(SharedText(room, demand));
  if ((lacks & kLackHugePages) && !room.has_page_size) {
    add(fmt::format("no pages of {}", HumanSize(request.page_size_bytes)));
  } else if (lacks & kLackHugePages) {
    add(fmt::format("{} of memory in pages of {} asked for, {} left", HumanSize(demand.bytes),
                    HumanSize(request.page_size_bytes), HumanSize(room.bytes)));
  }
  if (lacks & kLackMemory) {
    const bool ordinary = request.page_size_bytes == kOrdinaryPageBytes;
    add(fmt::format(
        "{} of memory asked for{}, {} left", HumanSize(demand.overhead_bytes + (ordinary ? demand.bytes : 0)),
        demand.overhead_bytes > 0 ? " with the monitor's own" : "", HumanSize(room.ordinary_bytes)));
  }
  return text;
}

// The host's nodes as one.
NodeRoom SumOfRooms(const Problem& problem) {
  NodeRoom sum{.common_pool = problem.model.common_pool};
  for (int node : IndicesOf(problem.usable)) {
    const NodeRoom& room = problem.rooms[node];
    sum.threads += room.threads;
    sum.groups += room.groups;
    sum.whole_cores += room.whole_cores;
    for (size_t i = 0; i < room.whole_by_threads.size(); ++i)
      sum.whole_by_threads[i] += room.whole_by_threads[i];
    sum.sharable += room.sharable;
    sum.shared_millicpus += room.shared_millicpus;
    sum.bytes += room.bytes;
    sum.ordinary_bytes += room.ordinary_bytes;
    sum.has_page_size = sum.has_page_size || room.has_page_size;
  }
  return sum;
}

const char* ReasonFor(unsigned lacks) {
  if (lacks & kLackCpus) return "NOT_ENOUGH_HOST_CPUS";
  if (lacks & kLackCores) return "NOT_ENOUGH_WHOLE_CORES";
  if (lacks & kLackSharedCpus) return "NOT_ENOUGH_SHARED_CPUS";
  if (lacks & kLackHugePages) return "NOT_ENOUGH_HUGE_PAGES";
  return "NOT_ENOUGH_MEMORY";
}

bool AnyFits(const Problem& problem, const std::vector<Attempt>& attempts) {
  return std::any_of(attempts.begin(), attempts.end(),
                     [&](const Attempt& attempt) { return FindBest(problem, attempt).has_value(); });
}

// What each host node lacks: of a guest node that it does not hold, or that it holds one, but not all.
std::string NodeText(const Problem& problem, int node, const Attempt& attempt) {
  for (size_t i = 0; i < attempt.demands.size(); ++i) {
    const Demand& demand = attempt.demands[i];
    if (demand.host_node >= 0 && demand.host_node != node) continue;
    const NodeRoom& room = problem.rooms[node];
    const unsigned lacks = LacksOf(room, demand, problem.shape, problem.request.page_size_bytes);
    if (lacks == 0) continue;
    const std::string text = Describe(lacks, room, demand, problem);
    return attempt.demands.size() == 1 ? text : fmt::format("guest node {}: {}", i, text);
  }
  return attempt.demands.size() == 1 ? "has room, but not with the guest's devices"
                                     : "has room for each guest node, but not for all";
}

Error Overall(const Problem& problem, const HostRoom& room, const std::vector<Attempt>& attempts,
              NodeMask apart) {
  PlacementRequest anywhere = problem.request;
  for (DeviceRequest& device : anywhere.devices) device.affinity = DeviceAffinity::kNone;
  const DeviceMatcher devices_anywhere(problem.model, room, anywhere);
  if (!devices_anywhere.Match(problem.usable)) {
    return Error(Code::kResourceExhausted,
                 "there are not as many free devices of the kinds asked for; fewer, or other ones, would do")
        .Reason("NOT_ENOUGH_DEVICES");
  }
  Problem relaxed{problem.model, anywhere, problem.shape, devices_anywhere, problem.usable, problem.rooms};
  if (AnyFits(relaxed, attempts)) {
    return Error(Code::kFailedPrecondition,
                 "the guest fits, but not beside its devices; device affinity `preferred` would take it")
        .Reason("DEVICE_AFFINITY_NOT_MET");
  }
  relaxed.usable |= apart;
  if (apart != 0 && AnyFits(relaxed, attempts)) {
    return Error(Code::kFailedPrecondition,
                 "the guest fits only on nodes of guests that it is to be kept apart from")
        .Reason("GUESTS_NOT_APART");
  }
  const NodeRoom host = SumOfRooms(problem);
  const Demand guest = SumOf(attempts[0].demands);
  const unsigned lacks = LacksOf(host, guest, problem.shape, problem.request.page_size_bytes);
  if (lacks == 0) {
    return Error(
               Code::kResourceExhausted,
               attempts[0].demands.size() > 1
                   ? "the host has room for it in all, but no nodes for guest nodes of these sizes; more or "
                     "smaller ones, or moving other guests, would help"
                   : "the host has room for it in all, but in pieces that cannot be put together; moving "
                     "other guests would help")
        .Reason("HOST_TOO_FRAGMENTED");
  }
  return Error(Code::kResourceExhausted,
               fmt::format("on the whole host: {}", Describe(lacks, host, guest, problem)))
      .Reason(ReasonFor(lacks));
}

}  // namespace

Error RefusalOf(const Problem& problem, const HostRoom& room, const std::vector<Attempt>& attempts,
                NodeMask apart) {
  Error error = Overall(problem, room, attempts, apart).Context("the guest does not fit");
  for (size_t node = 0; node < problem.model.nodes.size(); ++node) {
    const bool usable = problem.usable >> node & 1;
    if (!usable && !(apart >> node & 1)) continue;
    error = std::move(error).With(fmt::format("node{}", problem.model.nodes[node].id),
                                  usable ? NodeText(problem, static_cast<int>(node), attempts[0])
                                         : "has a guest to be kept apart from");
  }
  return error;
}

}  // namespace berth::server

#include "server/placement/host_cpus.h"

#include <algorithm>

#include "server/placement/node_room.h"

namespace berth::server {
namespace {

Error BadCpu(Code code, std::string_view reason, int cpu, std::string message) {
  return Error(code, std::move(message)).Reason(std::string(reason)).With("cpu", std::to_string(cpu));
}

uint8_t BitOf(const HostModel::Core& core, int cpu) {
  return static_cast<uint8_t>(1 << (std::find(core.cpus.begin(), core.cpus.end(), cpu) - core.cpus.begin()));
}

Status CheckCpu(const host::HostSnapshot& host, const HostModel& model, const Ledger& ledger, int cpu) {
  if (host.cpus.Find(cpu) == nullptr) {
    return Fail(BadCpu(Code::kNotFound, "HOST_CPU_NOT_FOUND", cpu,
                       fmt::format("the host has no CPU {}; it has {}", cpu, host.cpus.present.ToString()))
                    .Field("guest.spec.placement.host_cpus"));
  }
  if (!host.cpus.online.Contains(cpu)) {
    return Fail(
        BadCpu(Code::kFailedPrecondition, "HOST_CPU_OFFLINE", cpu, fmt::format("CPU {} is offline", cpu)));
  }
  const int core = model.core_of_cpu[cpu];
  if (core < 0 || (model.cores[core].dedicable & BitOf(model.cores[core], cpu)) == 0) {
    return Fail(BadCpu(
        Code::kFailedPrecondition, "HOST_CPU_NOT_DEDICABLE", cpu,
        fmt::format("CPU {} is not one that guests may have for themselves (see dedicated-cpus)", cpu)));
  }
  for (const Reservation& reservation : ledger) {
    if (!reservation.dedicated_cpus.Contains(cpu)) continue;
    return Fail(BadCpu(Code::kFailedPrecondition, "HOST_CPU_IN_USE", cpu,
                       fmt::format("CPU {} is dedicated to {}", cpu, reservation.guest))
                    .With("owner", reservation.guest));
  }
  return Ok();
}

}  // namespace

HostRoom WithoutHostCpus(const HostModel& model, const std::vector<int>& cpus, HostRoom room) {
  for (int cpu : cpus) {
    const int core = model.core_of_cpu[cpu];
    room.free[core] &= static_cast<uint8_t>(~BitOf(model.cores[core], cpu));
  }
  return room;
}

Status CheckHostCpus(const host::HostSnapshot& host, const HostModel& model, const HostRoom& room,
                     const Ledger& ledger, const std::vector<int>& cpus) {
  for (int cpu : cpus) TRY(CheckCpu(host, model, ledger, cpu));
  const HostRoom left = WithoutHostCpus(model, cpus, room);
  for (size_t node = 0; node < model.nodes.size() && !cpus.empty(); ++node) {
    const NodeRoom summary = Summarize(model, left, static_cast<int>(node), {}, kOrdinaryPageBytes);
    if (summary.dedicable() >= 0) continue;
    return Fail(Error(Code::kResourceExhausted,
                      fmt::format("without these CPUs node {} has {} for the guests that share, which were "
                                  "promised the worth of {:g}",
                                  model.nodes[node].id, summary.sharable,
                                  static_cast<double>(summary.shared_millicpus) / 1000))
                    .Reason("NOT_ENOUGH_SHARED_CPUS"));
  }
  return Ok();
}

}  // namespace berth::server

#include "server/overcommit/admission.h"

#include <algorithm>

#include "base/bytes.h"
#include "server/placement/node_room.h"

namespace berth::server {
namespace {

std::string Decimal(int64_t thousandths) {
  return fmt::format("{:g}", static_cast<double>(thousandths) / 1000);
}

tl::unexpected<Error> Exhausted(const char* reason, std::string message) {
  return Fail(Error(Code::kResourceExhausted, std::move(message)).Reason(reason));
}

int CeilDiv(int64_t value, int64_t by) { return static_cast<int>((value + by - 1) / by); }

// 1000 by the ratio, or what is reserved if that is more.
int Counted(int ratio, int reservation_percent) {
  return std::max({CeilDiv(1'000'000, ratio), 10 * reservation_percent, 1});
}

Status CheckCpus(const HostPolicy& host, const GuestDemand& guest, const HostUse& use,
                 int millicpus_per_vcpu) {
  if (guest.dedicated_vcpus > use.dedicable_cpus) {
    return Exhausted("NOT_ENOUGH_HOST_CPUS",
                     fmt::format("{} vCPUs with a CPU each, and {} CPUs that can be had",
                                 guest.dedicated_vcpus, use.dedicable_cpus));
  }
  const int shared = guest.size.vcpus - guest.dedicated_vcpus;
  if (shared == 0) return Ok();
  if (shared > use.shared_cpus) {
    return Exhausted("GUEST_WIDER_THAN_HOST",
                     fmt::format("{} vCPUs would wait for each other on {} CPUs", shared, use.shared_cpus));
  }
  const int64_t counted = int64_t{shared} * millicpus_per_vcpu;
  const int64_t left = int64_t{1000} * use.shared_cpus - use.shared_millicpus;
  if (counted <= left) return Ok();
  std::string why = fmt::format("{} shared vCPUs ", shared);
  if (guest.passthrough) {
    why += "of a guest with assigned devices";
  } else if (millicpus_per_vcpu == 10 * guest.policy.cpu_reservation_percent) {
    why += fmt::format("with {}% reserved", guest.policy.cpu_reservation_percent);
  } else {
    why += fmt::format("at a cpu-ratio of {}", Decimal(host.cpu_ratio));
  }
  return Exhausted(
      "NOT_ENOUGH_SHARED_CPUS",
      fmt::format("{} count for {} CPUs; of {} CPUs to share {} are promised, {} left", why, Decimal(counted),
                  use.shared_cpus, Decimal(use.shared_millicpus), Decimal(std::max<int64_t>(left, 0))));
}

Status CheckMemory(const HostPolicy& host, const GuestDemand& guest, const HostUse& use,
                   const Admission& admission) {
  const bool huge = guest.size.page_size_bytes != kOrdinaryPageBytes;
  const uint64_t counted = guest.size.memory_bytes * static_cast<uint64_t>(admission.memory_permille) / 1000;
  const uint64_t wanted = counted + (huge ? 0 : admission.overhead_bytes);
  const uint64_t limit =
      huge || host.memory.guest_memory_bytes == 0 ? use.memory_bytes : host.memory.guest_memory_bytes;
  const uint64_t there = std::min(use.memory_bytes, limit);
  const uint64_t left = there - std::min(there, use.promised_bytes);
  if (wanted <= left) return Ok();
  std::string why = HumanSize(guest.size.memory_bytes);
  if (huge) why += fmt::format(" in pages of {}", HumanSize(guest.size.page_size_bytes));
  if (admission.memory_permille < 1000)
    why +=
        fmt::format(" at a memory-ratio of {} count for {}", Decimal(host.memory_ratio), HumanSize(counted));
  if (!huge)
    why +=
        fmt::format(", with {} of its monitor's {}", HumanSize(admission.overhead_bytes), HumanSize(wanted));
  return Exhausted(huge ? "NOT_ENOUGH_HUGE_PAGES" : "NOT_ENOUGH_MEMORY",
                   fmt::format("{}; of {} for guests {} are promised, {} left", why, HumanSize(there),
                               HumanSize(use.promised_bytes), HumanSize(left)));
}

}  // namespace

HostUse UseOf(const HostModel& model, const HostRoom& room, uint64_t page_size_bytes, int vcpus) {
  HostUse use{.cores = static_cast<int>(model.cores.size()), .vcpus = vcpus};
  for (size_t node = 0; node < model.nodes.size(); ++node) {
    const NodeRoom summary = Summarize(model, room, static_cast<int>(node), {}, page_size_bytes);
    use.shared_cpus += summary.sharable;
    use.shared_millicpus += summary.shared_millicpus;
    use.dedicable_cpus += std::max(summary.dedicable(), 0);
    for (size_t i = 0; i < model.nodes[node].pages.size(); ++i) {
      if (model.nodes[node].pages[i].size_bytes != page_size_bytes) continue;
      use.memory_bytes += model.nodes[node].pages[i].total_bytes;
      use.promised_bytes += room.nodes[node].promised_bytes[i];
    }
  }
  return use;
}

Result<Admission> Admit(const HostPolicy& host, const GuestDemand& guest, const HostUse& use,
                        const std::vector<OverheadSample>& samples) {
  const GuestPolicy& policy = guest.policy;
  TRY(CheckGuestPolicy(policy));
  if (guest.passthrough && policy.memory_limit_percent > 0 && policy.memory_limit_percent < 100) {
    return Fail(Error(Code::kInvalidArgument,
                      fmt::format("a memory limit of {}%, and assigned devices pin all of the guest's memory",
                                  policy.memory_limit_percent))
                    .Reason("OVERCOMMITTED_PASSTHROUGH")
                    .Field("memory-limit-percent"));
  }
  const bool whole_memory = guest.passthrough || guest.size.page_size_bytes != kOrdinaryPageBytes;
  Admission admission;
  if (!guest.passthrough)
    admission.millicpus_per_shared_vcpu = Counted(host.cpu_ratio, policy.cpu_reservation_percent);
  if (!whole_memory)
    admission.memory_permille = Counted(host.memory_ratio, policy.memory_reservation_percent);
  admission.overhead_bytes = OverheadBytes(guest.size, samples);

  TRY(CheckCpus(host, guest, use, admission.millicpus_per_shared_vcpu));
  TRY(CheckMemory(host, guest, use, admission));

  const int shared = guest.size.vcpus - guest.dedicated_vcpus;
  admission.cpu_weight = std::clamp(policy.cpu_shares * std::max(shared, 1), 1, kMaxCpuShares);
  admission.cpu_limit_millicpus = int64_t{10} * policy.cpu_limit_percent * shared;
  const int reserved = whole_memory ? 100 : policy.memory_reservation_percent;
  const uint64_t percent = guest.size.memory_bytes / 100;
  admission.memory_reserved_bytes = admission.overhead_bytes + percent * static_cast<uint64_t>(reserved);
  if (policy.memory_limit_percent > 0) {
    admission.memory_limit_bytes =
        admission.overhead_bytes + percent * static_cast<uint64_t>(policy.memory_limit_percent);
  }
  if (use.vcpus + guest.size.vcpus > kMaxVcpusPerCore * use.cores) {
    admission.warnings.push_back(fmt::format("{} vCPUs on {} cores: more than {} a core wait for long",
                                             use.vcpus + guest.size.vcpus, use.cores, kMaxVcpusPerCore));
  }
  return admission;
}

}  // namespace berth::server

#include "server/guest/placement_spec_check.h"

#include <set>
#include <string>

#include "server/guest/field_error.h"
#include "server/guest/spec_check.h"

namespace berth::server {
namespace {

constexpr int kMaxHostNumber = 65535;
constexpr int kMaxApartFrom = 64;
constexpr std::string_view kGuests = "guests/";

// Each is in range, and there once.
Status CheckNumbers(const char* field, const google::protobuf::RepeatedField<int32_t>& numbers, int most,
                    const char* what) {
  std::set<int> seen;
  for (int number : numbers) {
    if (number < 0 || number > most) return BadField(field, "{} is no {}", number, what);
    if (!seen.insert(number).second) return BadField(field, "{} {} is there twice", what, number);
  }
  return Ok();
}

Status CheckEnums(const v1::PlacementSpec& placement) {
  using Spec = v1::PlacementSpec;
  const auto unknown = [](const char* field, int value) -> Status {
    return BadField(fmt::format("placement.{}", field), "unknown value {}", value);
  };
  if (!Spec::CpuPolicy_IsValid(placement.cpu_policy())) return unknown("cpu_policy", placement.cpu_policy());
  if (!Spec::SiblingPolicy_IsValid(placement.sibling_policy()))
    return unknown("sibling_policy", placement.sibling_policy());
  if (!Spec::CoreKind_IsValid(placement.core_kind())) return unknown("core_kind", placement.core_kind());
  if (!Spec::ThreadPolicy_IsValid(placement.emulator_threads()))
    return unknown("emulator_threads", placement.emulator_threads());
  if (!Spec::ThreadPolicy_IsValid(placement.io_threads()))
    return unknown("io_threads", placement.io_threads());
  return Ok();
}

// The CPU policy, and what depends on it.
Status CheckPolicy(const v1::GuestSpec& spec) {
  using Spec = v1::PlacementSpec;
  const Spec& placement = spec.placement();
  const Spec::CpuPolicy policy = placement.cpu_policy();
  if (placement.dedicated_cpus() && policy != Spec::CPU_POLICY_UNSPECIFIED)
    return BadField("placement.cpu_policy", "dedicated_cpus says it already");
  const bool chosen = placement.host_cpus_size() > 0;
  if (chosen && (policy == Spec::SHARED || policy == Spec::MIXED))
    return BadField("placement.cpu_policy", "host_cpus are each vCPU's own");
  if (policy == Spec::MIXED && placement.dedicated_vcpus_size() == 0)
    return BadField("placement.dedicated_vcpus", "MIXED needs to know which");
  if (policy != Spec::MIXED && placement.dedicated_vcpus_size() > 0)
    return BadField("placement.dedicated_vcpus", "goes with the policy MIXED only");
  const bool any_dedicated = placement.dedicated_cpus() || policy == Spec::DEDICATED || policy == Spec::MIXED;
  if (placement.sibling_policy() != Spec::SIBLING_POLICY_UNSPECIFIED && !any_dedicated)
    return BadField("placement.sibling_policy", "is for dedicated vCPUs that the server places");
  if (placement.core_kind() != Spec::CORE_KIND_UNSPECIFIED && !any_dedicated)
    return BadField("placement.core_kind", "is for dedicated vCPUs that the server places");
  if (placement.sibling_policy() == Spec::ISOLATE && spec.cpus().threads_per_core() > 1) {
    return BadField("placement.sibling_policy", "a core for each vCPU, and {} threads in a guest's core",
                    spec.cpus().threads_per_core());
  }
  return Ok();
}

Status CheckApartFrom(const v1::PlacementSpec& placement) {
  if (placement.apart_from_size() > kMaxApartFrom)
    return BadField("placement.apart_from", "at most {}", kMaxApartFrom);
  std::set<std::string> seen;
  for (const std::string& name : placement.apart_from()) {
    if (!name.starts_with(kGuests) || !CheckGuestId(name.substr(kGuests.size())))
      return BadField("placement.apart_from", "\"{}\" is no guest's name", name.substr(0, 80));
    if (!seen.insert(name).second) return BadField("placement.apart_from", "{} is there twice", name);
  }
  return Ok();
}

}  // namespace

Status CheckPlacementSpec(const v1::GuestSpec& spec) {
  const v1::PlacementSpec& placement = spec.placement();
  TRY(CheckNumbers("placement.host_nodes", placement.host_nodes(), kMaxHostNumber, "node"));
  TRY(CheckNumbers("placement.host_cpus", placement.host_cpus(), kMaxHostNumber, "CPU"));
  TRY(CheckNumbers("placement.dedicated_vcpus", placement.dedicated_vcpus(), spec.cpus().vcpu_count() - 1,
                   "vCPU"));
  if (placement.host_cpus_size() > 0 && placement.host_cpus_size() != spec.cpus().vcpu_count()) {
    return BadField("placement.host_cpus", "{} CPUs for {} vCPUs", placement.host_cpus_size(),
                    spec.cpus().vcpu_count());
  }
  TRY(CheckEnums(placement));
  TRY(CheckPolicy(spec));
  return CheckApartFrom(placement);
}

}  // namespace berth::server

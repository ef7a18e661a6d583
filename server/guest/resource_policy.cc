#include "server/guest/resource_policy.h"

#include <algorithm>

#include "server/guest/field_error.h"
#include "server/guest/spec_check.h"

namespace berth::server {
namespace {

constexpr int kMaxIoLimits = 32;
constexpr int kMaxIoWeight = 10'000;  // io.weight's own.

// "cpu-shares" to "guest.spec.resource_policy.cpu_shares".
std::string PathOf(std::string setting) {
  std::replace(setting.begin(), setting.end(), '-', '_');
  return "guest.spec.resource_policy." + setting;
}

Status CheckIoLimit(const std::string& field, const v1::IoLimit& limit) {
  TRY(CheckPathField(field + ".path", limit.path()));
  const std::pair<const char*, int64_t> rates[] = {
      {"read_bytes_per_second", limit.read_bytes_per_second()},
      {"write_bytes_per_second", limit.write_bytes_per_second()},
      {"read_operations_per_second", limit.read_operations_per_second()},
      {"write_operations_per_second", limit.write_operations_per_second()},
  };
  bool any = false;
  for (const auto& [name, rate] : rates) {
    if (rate < 0) return BadField(fmt::format("{}.{}", field, name), "{} is no rate", rate);
    any = any || rate > 0;
  }
  if (!any) return BadField(field, "limits nothing");
  return Ok();
}

LastResort LastResortOf(v1::ResourcePolicySpec::LastResort last_resort) {
  switch (last_resort) {
    case v1::ResourcePolicySpec::FREEZE:
      return LastResort::kFreeze;
    case v1::ResourcePolicySpec::EVICT:
      return LastResort::kEvict;
    default:
      return LastResort::kNone;
  }
}

}  // namespace

GuestPolicy PolicyOf(const v1::ResourcePolicySpec& spec, const GuestPolicy& defaults) {
  GuestPolicy policy = defaults;
  if (spec.has_cpu_reservation_percent()) policy.cpu_reservation_percent = spec.cpu_reservation_percent();
  if (spec.has_cpu_limit_percent()) policy.cpu_limit_percent = spec.cpu_limit_percent();
  if (spec.has_cpu_shares()) policy.cpu_shares = spec.cpu_shares();
  if (spec.has_memory_reservation_percent())
    policy.memory_reservation_percent = spec.memory_reservation_percent();
  if (spec.has_memory_limit_percent()) policy.memory_limit_percent = spec.memory_limit_percent();
  if (spec.has_merge_pages()) policy.merge_pages = spec.merge_pages();
  if (spec.last_resort() != v1::ResourcePolicySpec::LAST_RESORT_UNSPECIFIED)
    policy.last_resort = LastResortOf(spec.last_resort());
  return policy;
}

GuestSize SizeOf(const v1::GuestSpec& spec) {
  constexpr int kConsole = 1;
  GuestSize size{.memory_bytes = static_cast<uint64_t>(MemorySize(spec)),
                 .vcpus = spec.cpus().vcpu_count(),
                 .devices = spec.disks_size() + spec.network_interfaces_size() +
                            (spec.entropy_device() ? 1 : 0) + (spec.memory().balloon() ? 1 : 0) + kConsole,
                 .assigned_devices = spec.assigned_devices_size()};
  if (const auto page = spec.memory().page_size_bytes(); page != 0) size.page_size_bytes = page;
  return size;
}

bool CanMerge(const v1::GuestSpec& spec) {
  return spec.assigned_devices_size() + spec.hot_plug_ports_size() == 0 &&
         (spec.memory().page_size_bytes() == 0 || spec.memory().page_size_bytes() == 4096);
}

Status CheckPolicyOf(const v1::GuestSpec& spec, const GuestPolicy& defaults) {
  Status checked = CheckGuestPolicy(PolicyOf(spec.resource_policy(), defaults));
  if (checked) return Ok();
  const std::string path = PathOf(checked.error().field());
  return Fail(std::move(checked).error().Context(path).Field(path));
}

Status CheckResourcePolicy(const v1::GuestSpec& spec) {
  TRY(CheckPolicyOf(spec, {}));
  const v1::ResourcePolicySpec& policy = spec.resource_policy();
  if (policy.io_weight() < 0 || policy.io_weight() > kMaxIoWeight) {
    return BadField("resource_policy.io_weight", "{} is not between 0 and {}", policy.io_weight(),
                    kMaxIoWeight);
  }
  if (policy.io_limits_size() > kMaxIoLimits)
    return BadField("resource_policy.io_limits", "at most {}", kMaxIoLimits);
  for (int i = 0; i < policy.io_limits_size(); ++i) {
    TRY(CheckIoLimit(fmt::format("resource_policy.io_limits[{}]", i), policy.io_limits(i)));
  }
  if (!v1::ResourcePolicySpec::LastResort_IsValid(policy.last_resort())) {
    return BadField("resource_policy.last_resort", "unknown value {}", int{policy.last_resort()});
  }
  if (policy.merge_pages() && !CanMerge(spec)) {
    return BadField("resource_policy.merge_pages",
                    "memory in huge pages, or within reach of assigned devices, is not merged");
  }
  const int limit = policy.memory_limit_percent();
  if (spec.assigned_devices_size() + spec.hot_plug_ports_size() > 0 && limit > 0 && limit < 100) {
    return BadField("resource_policy.memory_limit_percent",
                    "{}%, and assigned devices pin all of the guest's memory", limit);
  }
  return Ok();
}

}  // namespace berth::server

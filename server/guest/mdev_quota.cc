#include "server/guest/mdev_quota.h"

#include <algorithm>
#include <charconv>

#include "server/guest/device_key.h"

namespace berth::server {
namespace {

constexpr int kMaxQuota = 65535;

int CountOf(const host::HostSnapshot& host, const std::string& type) {
  const auto made = std::count_if(host.mdevs.begin(), host.mdevs.end(),
                                  [&](const host::MdevInstance& one) { return one.type == type; });
  const auto become =
      std::count_if(host.functions.begin(), host.functions.end(), [&](const host::PciFunction& one) {
        return one.vgpu && one.vgpu->current_type != 0 && VgpuTypeName(one.vgpu->current_type) == type;
      });
  return static_cast<int>(made + become);
}

}  // namespace

Result<MdevQuotas> ParseMdevQuotas(const std::vector<std::string>& texts) {
  MdevQuotas quotas;
  for (const std::string& text : texts) {
    const size_t equals = std::min(text.find('='), text.size());
    const char* const end = text.data() + text.size();
    int count = -1;
    const auto read = std::from_chars(std::min(text.data() + equals + 1, end), end, count);
    if (equals == 0 || read.ec != std::errc() || read.ptr != end || count < 0 || count > kMaxQuota) {
      return Fail(Error(Code::kInvalidArgument, fmt::format("\"{}\" is no quota like nvidia-558=4", text))
                      .Reason("BAD_OPTION"));
    }
    quotas[text.substr(0, equals)] = count;
  }
  return quotas;
}

void ApplyMdevQuotas(const MdevQuotas& quotas, host::HostSnapshot* host) {
  for (const auto& [name, quota] : quotas) {
    const std::string& type = name;  // Which a lambda can refer to.
    const int left = std::max(quota - CountOf(*host, type), 0);
    for (host::MdevParent& parent : host->mdev_parents) {
      for (host::MdevType& one : parent.types) {
        if (one.id == type) one.available_instances = std::min(one.available_instances, left);
      }
    }
    if (left > 0) continue;
    for (host::PciFunction& function : host->functions) {
      if (!function.vgpu) continue;
      std::erase_if(function.vgpu->creatable_types,
                    [&](const host::VgpuType& one) { return VgpuTypeName(one.id) == type; });
    }
  }
}

}  // namespace berth::server

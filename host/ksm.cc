#include "host/ksm.h"

#include <algorithm>

#include "host/sysfs.h"

namespace berth::host {

std::optional<KsmState> ReadKsm(const HostRoots& roots) {
  const SysfsDirectory ksm(roots.sys + "/kernel/mm/ksm");
  const auto run = ksm.Number("run");
  if (!run) return std::nullopt;
  const auto count = [&](const char* name) {
    return static_cast<uint64_t>(std::max<int64_t>(0, ksm.Number(name).value_or(0)));
  };
  const auto small = [&](const char* name) {
    return static_cast<int>(std::clamp<int64_t>(ksm.Number(name).value_or(0), 0, INT32_MAX));
  };
  return KsmState{.settings = {.run = small("run"),
                               .pages_to_scan = small("pages_to_scan"),
                               .sleep_ms = small("sleep_millisecs"),
                               .merge_across_nodes = ksm.Number("merge_across_nodes").value_or(1) != 0},
                  .pages_shared = count("pages_shared"),
                  .pages_sharing = count("pages_sharing"),
                  .full_scans = count("full_scans")};
}

}  // namespace berth::host

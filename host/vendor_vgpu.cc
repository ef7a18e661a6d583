#include "host/vendor_vgpu.h"

#include <algorithm>

namespace berth::host {

std::vector<VgpuType> ParseVgpuTypes(std::string_view text) {
  std::vector<VgpuType> types;
  for (const std::string_view line : SplitLines(text)) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const auto id = ParseNumber(line.substr(0, colon));
    const std::string_view name = TrimBlanks(line.substr(colon + 1));
    if (!id || *id <= 0 || *id > INT32_MAX || name.empty()) continue;
    types.push_back({static_cast<int>(*id), std::string(name)});
  }
  std::sort(types.begin(), types.end(), [](const VgpuType& a, const VgpuType& b) { return a.id < b.id; });
  return types;
}

std::optional<VendorVgpu> ReadVendorVgpu(const SysfsDirectory& directory) {
  const auto current = directory.Number("current_vgpu_type");
  if (!current || *current < 0 || *current > INT32_MAX) return std::nullopt;
  return VendorVgpu{.current_type = static_cast<int>(*current),
                    .creatable_types = ParseVgpuTypes(directory.Text("creatable_vgpu_types").value_or(""))};
}

}  // namespace berth::host

#include "host/iommu.h"

#include <algorithm>
#include <charconv>

#include "host/sysfs.h"

namespace berth::host {
namespace {

std::optional<uint64_t> ParseIova(std::string_view text) {
  uint64_t value = 0;
  if (text.starts_with("0x")) text.remove_prefix(2);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "0xFIRST 0xLAST TYPE" a line (Documentation/ABI/testing/sysfs-kernel-iommu_groups).
std::vector<ReservedRegion> ParseRegions(std::string_view text) {
  std::vector<ReservedRegion> regions;
  for (const std::string_view line : SplitLines(text)) {
    const std::vector<std::string> words = SplitWords(line);
    if (words.size() < 3) continue;
    const auto first = ParseIova(words[0]), last = ParseIova(words[1]);
    if (first && last && *first <= *last) regions.push_back({*first, *last, words[2]});
  }
  return regions;
}

}  // namespace

std::vector<IommuGroup> ReadIommuGroups(const HostRoots& roots) {
  std::vector<IommuGroup> groups;
  const SysfsDirectory directory(roots.sys + "/kernel/iommu_groups");
  for (const std::string& name : directory.Names()) {
    const auto id = ParseNumber(name);
    if (!id || *id < 0 || *id > INT32_MAX) continue;
    const SysfsDirectory entry = directory.Enter(name);
    IommuGroup group{.id = static_cast<int>(*id), .type = entry.Text("type").value_or("")};
    for (const std::string& member : entry.Enter("devices").Names()) {
      if (const auto address = PciAddress::Parse(member)) {
        group.functions.push_back(*address);
      } else {
        group.others.push_back(member);
      }
    }
    std::sort(group.functions.begin(), group.functions.end());
    group.reserved_regions = ParseRegions(entry.Text("reserved_regions").value_or(""));
    groups.push_back(std::move(group));
  }
  std::sort(groups.begin(), groups.end(),
            [](const IommuGroup& a, const IommuGroup& b) { return a.id < b.id; });
  return groups;
}

}  // namespace berth::host

#include "host/module_aliases.h"

#include <fnmatch.h>

#include <algorithm>

#include "host/cached_file.h"
#include "host/sysfs.h"

namespace berth::host {
namespace {

constexpr char kVfioPci[] = "vfio-pci";
constexpr std::string_view kPrefix = "vfio_pci:";

// What the kernel would ask modprobe for (file2alias.c, do_pci_entry).
std::string AliasOf(const PciFunction& function) {
  return fmt::format("vfio_pci:v{:08X}d{:08X}sv{:08X}sd{:08X}bc{:02X}sc{:02X}i{:02X}", function.vendor_id,
                     function.device_id, function.subsystem_vendor_id, function.subsystem_device_id,
                     function.class_code >> 16 & 0xff, function.class_code >> 8 & 0xff,
                     function.class_code & 0xff);
}

// A variant's driver is called as its module is; the first of them has a name of its own.
std::string DriverOf(const std::string& module) { return module == "vfio_pci" ? kVfioPci : module; }

}  // namespace

ModuleAliases ModuleAliases::Parse(std::string_view text) {
  ModuleAliases result;
  for (const std::string_view line : SplitLines(text)) {
    if (line.find(kPrefix) == std::string_view::npos) continue;
    const std::vector<std::string> words = SplitWords(line);
    if (words.size() != 3 || words[0] != "alias" || !words[1].starts_with(kPrefix)) continue;
    result.aliases_.push_back({.pattern = words[1],
                               .driver = DriverOf(words[2]),
                               .wildcards = std::count(words[1].begin(), words[1].end(), '*')});
  }
  // The most specific first.
  std::stable_sort(result.aliases_.begin(), result.aliases_.end(),
                   [](const Alias& a, const Alias& b) { return a.wildcards < b.wildcards; });
  return result;
}

std::string ModuleAliases::VfioDriverFor(const PciFunction& function) const {
  const std::string wanted = AliasOf(function);
  const auto found = std::find_if(aliases_.begin(), aliases_.end(), [&](const Alias& alias) {
    return ::fnmatch(alias.pattern.c_str(), wanted.c_str(), 0) == 0;
  });
  return found == aliases_.end() ? kVfioPci : found->driver;
}

std::shared_ptr<const ModuleAliases> LoadModuleAliases(const HostRoots& roots,
                                                       const std::string& kernel_release) {
  return LoadCached<ModuleAliases>(fmt::format("{}/{}/modules.alias", roots.modules, kernel_release));
}

}  // namespace berth::host

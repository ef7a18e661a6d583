// Which of the kernel's VFIO drivers is made for a PCI function: the `vfio_pci:` aliases of modules.alias.
// Linux, Documentation/PCI/pci.rst ("driver_override", PCI_DRIVER_OVERRIDE_DEVICE_VFIO).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/pci.h"

namespace berth::host {

class ModuleAliases {
 public:
  // Lines of "alias PATTERN MODULE"; those that are not for VFIO are passed over.
  static ModuleAliases Parse(std::string_view text);

  // The driver of the most specific pattern that matches: "vfio-pci", or a variant such as "mlx5_vfio_pci".
  // "vfio-pci" if none does.
  std::string VfioDriverFor(const PciFunction& function) const;

 private:
  struct Alias {
    std::string pattern;
    std::string driver;
    long wildcards = 0;
  };
  std::vector<Alias> aliases_;
};

// Of the kernel that runs. Read once, and again after it changed. Any thread.
std::shared_ptr<const ModuleAliases> LoadModuleAliases(const HostRoots& roots,
                                                       const std::string& kernel_release);

}  // namespace berth::host

#include "cli/device_view.h"

#include <algorithm>
#include <ostream>
#include <tuple>

#include <fmt/ranges.h>

#include "cli/output.h"
#include "proto/error_details.h"

namespace berth::cli {
namespace {

using berth::v1::HostDevice;

constexpr size_t kMaxTextBytes = 200;

std::string Identifier(const HostDevice& device) {
  return device.name().substr(device.name().rfind('/') + 1);
}

std::string NodeOf(const HostDevice& device) {
  return device.has_host_node() ? std::to_string(device.host_node()) : "";
}
std::string GroupOf(const HostDevice& device) {
  return device.has_iommu_group() ? std::to_string(device.iommu_group()) : "";
}

std::string LinkOf(const berth::v1::HostPciLink& link) {
  return fmt::format("{} GT/s x{} of {} GT/s x{}", link.speed_mtps() / 1000.0, link.width(),
                     link.max_speed_mtps() / 1000.0, link.max_width());
}

std::string BarOf(const berth::v1::HostPciBar& bar) {
  return fmt::format("{}{}{}{}", FormatBytes(bar.size_bytes()), bar.io() ? " ports" : " memory",
                     bar.is_64bit() ? ", 64-bit" : "", bar.prefetchable() ? ", prefetchable" : "") +
         (bar.placed() ? "" : ", without an address");
}

// Lines of the tree are printed once for all devices below them.
class Levels {
 public:
  explicit Levels(std::ostream& out) : out_(out) {}
  void Enter(size_t level, const std::string& title) {
    if (level < titles_.size() && titles_[level] == title) return;
    titles_.resize(level);
    titles_.push_back(title);
    out_ << std::string(2 * level, ' ') << title << '\n';
  }

 private:
  std::ostream& out_;
  std::vector<std::string> titles_;
};

void PrintTypes(std::ostream& out, const std::vector<HostDevice>& devices) {
  Table types({"MEDIATED DEVICE TYPE", "PARENT", "AVAILABLE", "NAME"});
  bool any = false;
  for (const HostDevice& device : devices) {
    for (const auto& type : device.mdev_types()) {
      types.Add({type.id(), Identifier(device), std::to_string(type.available_instances()), type.name()});
      any = true;
    }
  }
  if (!any) return;
  out << '\n';
  types.Print(out);
}

}  // namespace

std::string DeviceKind(const HostDevice& device) {
  if (device.has_mdev()) return "mdev";
  if (device.has_mdev_parent()) return "mdev parent";
  if (!device.pci().physical_function().empty()) return "VF";
  return device.pci().total_vfs() > 0
             ? fmt::format("PF {}/{}", device.pci().num_vfs(), device.pci().total_vfs())
             : "PCI";
}

void PrintDeviceTable(std::ostream& out, const std::vector<HostDevice>& devices) {
  Table table({"DEVICE", "KIND", "STATE", "DRIVER", "NODE", "GROUP", "DESCRIPTION", "GUEST OR OBSTACLE"});
  for (const HostDevice& device : devices) {
    table.Add({Identifier(device), DeviceKind(device), HostDevice::State_Name(device.state()),
               device.driver(), NodeOf(device), GroupOf(device), device.description(),
               device.guest().empty() ? device.obstacle() : device.guest()});
  }
  table.Print(out);
  PrintTypes(out, devices);
}

void PrintDeviceTree(std::ostream& out, const std::vector<HostDevice>& devices) {
  std::vector<HostDevice> sorted = devices;
  const auto key = [](const HostDevice& device) {
    return std::tuple(device.has_host_node() ? device.host_node() : -1, device.pci().parent(),
                      device.has_iommu_group() ? device.iommu_group() : -1, device.name());
  };
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](const HostDevice& a, const HostDevice& b) { return key(a) < key(b); });
  Levels levels(out);
  for (const HostDevice& device : sorted) {
    levels.Enter(0, device.has_host_node() ? "node " + NodeOf(device) : "no node");
    levels.Enter(1, !device.has_pci()               ? "software"
                    : device.pci().parent().empty() ? "root bus"
                                                    : "port " + Printable(device.pci().parent(), 32));
    levels.Enter(2, device.has_iommu_group() ? "IOMMU group " + GroupOf(device) : "no IOMMU group");
    out << fmt::format("      {}  {}  {}{}{}\n", Printable(device.description(), kMaxTextBytes),
                       DeviceKind(device), HostDevice::State_Name(device.state()),
                       device.driver().empty() ? "" : "  " + Printable(device.driver(), kMaxTextBytes),
                       device.guest().empty() ? "" : "  " + Printable(device.guest(), kMaxTextBytes));
  }
}

void PrintDevice(std::ostream& out, const HostDevice& device) {
  const berth::v1::HostPciFunction& pci = device.pci();
  Table table({"FACT", "VALUE"});
  const auto add = [&](const char* fact, const std::string& value) {
    if (!value.empty()) table.Add({fact, value});
  };
  add("device", Identifier(device));
  add("description", device.description());
  add("kind", DeviceKind(device));
  add("state", HostDevice::State_Name(device.state()));
  add("guest", device.guest());
  add("obstacle", device.obstacle());
  add("class", pci.class_name());
  add("identity", pci.id());
  add("subsystem", pci.subsystem_id());
  add("serial number", pci.serial_number());
  add("part number", pci.part_number());
  add("driver", device.driver());
  add("driver when assigned", pci.vfio_driver());
  add("NUMA node", NodeOf(device));
  add("IOMMU group", GroupOf(device));
  add("port", pci.parent());
  add("physical function", pci.physical_function());
  add("network interfaces", fmt::format("{}", fmt::join(pci.interfaces(), ", ")));
  if (pci.has_link()) add("link", LinkOf(pci.link()));
  add("power state", pci.power_state());
  add("resets", fmt::format("{}", fmt::join(pci.reset_methods(), ", ")));
  for (const auto& bar : pci.bars()) add(fmt::format("BAR {}", bar.index()).c_str(), BarOf(bar));
  if (pci.rom_size_bytes() > 0) add("ROM", FormatBytes(pci.rom_size_bytes()));
  if (pci.boot_display()) add("display", "the host was booted with it");
  add("vGPU type", pci.vgpu_type());
  add("parent", device.mdev().parent());
  add("type", device.mdev().type());
  table.Print(out);
  PrintTypes(out, {device});
}

}  // namespace berth::cli

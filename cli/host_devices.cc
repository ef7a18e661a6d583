#include <ostream>

#include "cli/command.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;
using berth::v1::HostDevice;

void DescribeOptions(po::options_description& options) {
  options.add_options()                                                        //
      ("filter", po::value<std::string>(), "AIP-160, as 'state = AVAILABLE'")  //
      ("all,a", "also those that cannot be assigned");
}

std::string Kind(const HostDevice& device) {
  if (device.has_mdev()) return "mdev";
  if (device.has_mdev_parent()) return "mdev parent";
  if (!device.pci().physical_function().empty()) return "VF";
  return device.pci().total_vfs() > 0
             ? fmt::format("PF {}/{}", device.pci().num_vfs(), device.pci().total_vfs())
             : "PCI";
}

std::string Identifier(const HostDevice& device) {
  return device.name().substr(device.name().rfind('/') + 1);
}

void PrintTable(std::ostream& out, const std::vector<HostDevice>& devices) {
  Table table({"DEVICE", "KIND", "STATE", "DRIVER", "NODE", "GROUP", "DESCRIPTION", "GUEST OR OBSTACLE"});
  for (const HostDevice& device : devices) {
    table.Add({Identifier(device), Kind(device), HostDevice::State_Name(device.state()), device.driver(),
               device.has_host_node() ? std::to_string(device.host_node()) : "",
               device.has_iommu_group() ? std::to_string(device.iommu_group()) : "", device.description(),
               device.guest().empty() ? device.obstacle() : device.guest()});
  }
  table.Print(out);

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

Status Run(const Invocation& call) {
  std::vector<HostDevice> devices;
  berth::v1::ListHostDevicesRequest request;
  request.set_parent("host");
  request.set_filter(call.Text("filter"));
  do {
    const auto page = TRY(call.connection.Call(&HostService::Stub::ListHostDevices, request));
    for (const HostDevice& device : page.devices()) {
      const bool parent = device.mdev_types_size() > 0 || device.pci().total_vfs() > 0;
      if (!call.Has("all") && device.state() == HostDevice::UNASSIGNABLE && !parent) continue;
      devices.push_back(device);
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (call.format == OutputFormat::kTable) {
    PrintTable(call.out, devices);
  } else if (call.format == OutputFormat::kName) {
    for (const HostDevice& device : devices) call.out << device.name() << '\n';
  } else {
    berth::v1::ListHostDevicesResponse list;
    for (const HostDevice& device : devices) *list.add_devices() = device;
    PrintMessage(call.out, call.format, list);
  }
  return Ok();
}

}  // namespace

const Command kHostDevices = {
    .words = "host devices",
    .summary = "List the devices that can be assigned, and where they could come from",
    .describe = DescribeOptions,
    .run = Run};

}  // namespace berth::cli

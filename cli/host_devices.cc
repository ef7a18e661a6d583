// The host's devices: all of them, one, and as they change.
#include <ostream>

#include "cli/device_view.h"
#include "cli/follow.h"
#include "proto/error_details.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;
using berth::v1::HostDevice;

constexpr size_t kMaxTextBytes = 200;

void DescribeList(po::options_description& options) {
  options.add_options()                                                        //
      ("filter", po::value<std::string>(), "AIP-160, as 'state = AVAILABLE'")  //
      ("all,a", "also those that cannot be assigned")                          //
      ("tree", "by NUMA node, port and IOMMU group");
}

Status RunList(const Invocation& call) {
  berth::v1::ListHostDevicesResponse list;
  berth::v1::ListHostDevicesRequest request;
  request.set_parent("host");
  request.set_filter(call.Text("filter"));
  TRY(call.connection.EachPage(&HostService::Stub::ListHostDevices, request, [&](const auto& page) {
    for (const HostDevice& device : page.devices()) {
      const bool parent = device.mdev_types_size() > 0 || device.pci().total_vfs() > 0;
      if (!call.Has("all") && device.state() == HostDevice::UNASSIGNABLE && !parent) continue;
      *list.add_devices() = device;
    }
  }));
  const std::vector<HostDevice> devices(list.devices().begin(), list.devices().end());
  if (call.format == OutputFormat::kTable && call.Has("tree")) {
    PrintDeviceTree(call.out, devices);
  } else if (call.format == OutputFormat::kTable) {
    PrintDeviceTable(call.out, devices);
  } else if (call.format == OutputFormat::kName) {
    for (const HostDevice& device : devices) call.out << device.name() << '\n';
  }
  PrintMessage(call.out, call.format, list);
  return Ok();
}

// "0000:01:00.0", "pci-0000-01-00-0" or "host/devices/pci-0000-01-00-0".
std::string DeviceName(std::string argument) {
  if (argument.starts_with("host/devices/")) return argument;
  const bool address = argument.find(':') != std::string::npos;
  for (char& c : argument) {
    if (address && (c == ':' || c == '.')) c = '-';
  }
  return (address ? "host/devices/pci-" : "host/devices/") + argument;
}

Status Show(const Invocation& call, const HostDevice& device) {
  if (call.format == OutputFormat::kTable) PrintDevice(call.out, device);
  if (call.format == OutputFormat::kName) call.out << device.name() << '\n';
  PrintMessage(call.out, call.format, device);
  return Ok();
}

Status RunShow(const Invocation& call) {
  berth::v1::GetHostDeviceRequest request;
  request.set_name(DeviceName(call.arguments[0]));
  return Show(call, TRY(call.connection.Call(&HostService::Stub::GetHostDevice, request)));
}

void DescribeRecover(po::options_description& options) {
  options.add_options()("skip-reset", "only end its quarantine: somebody has seen to it");
}

Status RunRecover(const Invocation& call) {
  berth::v1::RecoverHostDeviceRequest request;
  request.set_name(DeviceName(call.arguments[0]));
  request.set_skip_reset(call.Has("skip-reset"));
  return Show(call, TRY(call.connection.Call(&HostService::Stub::RecoverHostDevice, request)));
}

void DescribeWatch(po::options_description& options) {
  options.add_options()("filter", po::value<std::string>(), "AIP-160, as 'state = AVAILABLE'");
  DescribeFollow(options);
}

void PrintChange(const Invocation& call, const berth::v1::WatchHostDevicesResponse& told) {
  const HostDevice& device = told.device();
  if (call.format == OutputFormat::kName) {
    if (told.has_device()) call.out << device.name() << '\n';
    return;
  }
  call.out << berth::v1::WatchHostDevicesResponse::Kind_Name(told.kind());
  if (told.has_device()) {
    call.out << fmt::format("  {}  {}  {}{}{}", device.name(), DeviceKind(device),
                            HostDevice::State_Name(device.state()),
                            device.driver().empty() ? "" : "  " + Printable(device.driver(), kMaxTextBytes),
                            device.guest().empty() ? "" : "  " + device.guest());
  }
  call.out << '\n';
}

Status RunWatch(const Invocation& call) {
  berth::v1::WatchHostDevicesRequest request;
  request.set_parent("host");
  request.set_filter(call.Text("filter"));
  return Follow(call, &HostService::Stub::WatchHostDevices, request,
                [&](const berth::v1::WatchHostDevicesResponse& told) { PrintChange(call, told); });
}

}  // namespace

const Command kHostDevices = {
    .words = "host devices",
    .summary = "List the devices that can be assigned, and where they could come from",
    .describe = DescribeList,
    .run = RunList};
const Command kHostDevice = {.words = "host device",
                             .arguments = {"DEVICE"},
                             .required = 1,
                             .summary = "Show a device, by its address or name",
                             .run = RunShow};
const Command kHostRecover = {.words = "host recover",
                              .arguments = {"DEVICE"},
                              .required = 1,
                              .summary = "Reset a quarantined device and end its quarantine",
                              .describe = DescribeRecover,
                              .run = RunRecover};
const Command kHostWatch = {.words = "host watch",
                            .summary = "Follow what changes about the host's devices",
                            .describe = DescribeWatch,
                            .run = RunWatch};

}  // namespace berth::cli

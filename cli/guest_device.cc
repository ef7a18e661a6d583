// Devices that come to a running guest and leave it.
#include "cli/command.h"
#include "cli/operation_wait.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;

void DescribeAttach(po::options_description& options) {
  options.add_options()                                                                         //
      ("id", po::value<std::string>(), "what the device is called within the guest")            //
      ("pci", po::value<std::string>(), "a PCI function: 0000:65:00.0, or 10de:2330 for any")   //
      ("vf", po::value<std::string>(), "a virtual function: 0000:65:00.0 for any, or with /3")  //
      ("mac", po::value<std::string>(), "its MAC address")                                      //
      ("vlan", po::value<int>(), "its VLAN, 1 to 4094")                                         //
      ("mdev", po::value<std::string>(),
       "a mediated device: its UUID, or PARENT/TYPE or /TYPE for a new one");
  DescribeWait(options);
}

// "A/B" as its two parts; the second is empty without a slash.
std::pair<std::string, std::string> AtSlash(const std::string& text) {
  const size_t slash = text.rfind('/');
  if (slash == std::string::npos) return {text, ""};
  return {text.substr(0, slash), text.substr(slash + 1)};
}

Status SetVf(const Invocation& call, berth::v1::VirtualFunctionSpec* vf) {
  const auto [function, index] = AtSlash(call.Text("vf"));
  vf->set_physical_function(function);
  if (!index.empty()) {
    if (index.size() > 5 || index.find_first_not_of("0123456789") != std::string::npos) {
      return Fail(Code::kInvalidArgument, "\"{}\" is no number of a virtual function", index);
    }
    vf->set_index(std::stoi(index));
  }
  vf->set_mac_address(call.Text("mac"));
  if (call.Has("vlan")) vf->set_vlan_id(call.options["vlan"].as<int>());
  return Ok();
}

Status RunAttach(const Invocation& call) {
  if (call.Has("pci") + call.Has("vf") + call.Has("mdev") != 1) {
    return Fail(Code::kInvalidArgument, "which device? One of --pci, --vf and --mdev is needed");
  }
  berth::v1::AttachDeviceRequest request;
  request.set_name(GuestName(call.arguments[0]));
  berth::v1::AssignedDeviceSpec* device = request.mutable_device();
  device->set_id(call.Text("id"));
  if (const std::string pci = call.Text("pci"); pci.find('.') != std::string::npos) {
    device->set_pci_address(pci);
  } else if (call.Has("pci")) {
    device->mutable_pci_selector()->set_id(pci);
  }
  if (call.Has("vf")) TRY(SetVf(call, device->mutable_virtual_function()));
  if (call.Has("mdev")) {
    const auto [parent, type] = AtSlash(call.Text("mdev"));
    if (type.empty()) {
      device->mutable_mediated_device()->set_uuid(parent);
    } else {
      device->mutable_mediated_device()->mutable_create()->set_parent(parent);
      device->mutable_mediated_device()->mutable_create()->set_type(type);
    }
  }
  return FinishOperation(call, call.connection.Call(&GuestService::Stub::AttachDevice, request));
}

void DescribeDetach(po::options_description& options) {
  options.add_options()                                                             //
      ("force", "pull it out if the guest does not give it up; it is quarantined")  //
      ("grace-period", po::value<int>(), "seconds the guest may take");
  DescribeWait(options);
}

Status RunDetach(const Invocation& call) {
  berth::v1::DetachDeviceRequest request;
  request.set_name(GuestName(call.arguments[0]));
  request.set_device_id(call.arguments[1]);
  request.set_force(call.Has("force"));
  if (call.Has("grace-period")) request.set_grace_period_seconds(call.options["grace-period"].as<int>());
  return FinishOperation(call, call.connection.Call(&GuestService::Stub::DetachDevice, request));
}

}  // namespace

const Command kGuestAttach = {.words = "guest attach",
                              .arguments = {"GUEST"},
                              .required = 1,
                              .summary = "Give a running guest a device",
                              .describe = DescribeAttach,
                              .run = RunAttach};
const Command kGuestDetach = {.words = "guest detach",
                              .arguments = {"GUEST", "DEVICE"},
                              .required = 2,
                              .summary = "Take an assigned device from a running guest",
                              .describe = DescribeDetach,
                              .run = RunDetach};

}  // namespace berth::cli

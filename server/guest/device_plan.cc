#include "server/guest/device_plan.h"

#include <algorithm>

namespace berth::server {
namespace {

namespace control = berth::vmm::v1;

void AddMdev(const ResolvedDevice::Mdev& mdev, DevicePlan* plan) {
  if (mdev.create) {
    plan->steps.push_back(
        MdevStep{.uuid = mdev.uuid, .parent = mdev.parent, .type = mdev.type, .attributes = mdev.attributes});
  }
  plan->name.mdev_uuid = mdev.uuid;
}

void AddVf(const ResolvedDevice::Vf& vf, DevicePlan* plan) {
  plan->steps.push_back(VfsStep{.physical_function = vf.physical_function, .count = vf.count});
  // The physical function sets up a VF while no driver of the host's looks at it.
  if (vf.settings != net::VfSettings{}) {
    plan->steps.push_back(VfSettingsStep{
        .physical_function = vf.physical_function, .vf_index = vf.index, .wanted = vf.settings});
  }
  plan->steps.push_back(DriverStep{.physical_function = vf.physical_function, .vf_index = vf.index});
  plan->name.vf = std::pair(vf.physical_function, vf.index);
}

// The guest node whose memory is on the device's host node, if there is one.
void SetNearestNode(int host_node, const std::vector<std::vector<int>>& memory_nodes,
                    control::DeviceConfig* config) {
  for (size_t i = 0; i < memory_nodes.size(); ++i) {
    const auto& nodes = memory_nodes[i];
    if (std::find(nodes.begin(), nodes.end(), host_node) == nodes.end()) continue;
    config->set_has_node(true);
    config->set_node(static_cast<uint32_t>(i));
    return;
  }
}

control::VfioDevice::OnRequest OnRequestOf(const v1::AssignedDeviceSpec& spec) {
  return spec.on_request() == v1::AssignedDeviceSpec::ON_REQUEST_REPORT
             ? control::VfioDevice::ON_REQUEST_REPORT
             : control::VfioDevice::ON_REQUEST_UNPLUG;
}

control::VfioDevice::OnError OnErrorOf(const v1::AssignedDeviceSpec& spec) {
  switch (spec.on_error()) {
    case v1::AssignedDeviceSpec::ON_ERROR_DETACH:
      return control::VfioDevice::ON_ERROR_UNPLUG;
    case v1::AssignedDeviceSpec::ON_ERROR_REPORT:
      return control::VfioDevice::ON_ERROR_REPORT;
    default:
      return control::VfioDevice::ON_ERROR_STOP;
  }
}

// "10de:2330" in its two numbers. It was checked.
std::pair<uint32_t, uint32_t> NumbersOf(const std::string& ids) {
  return {std::stoul(ids.substr(0, 4), nullptr, 16), std::stoul(ids.substr(5), nullptr, 16)};
}

void SetWhatIsShown(const v1::AssignedDeviceSpec& spec, control::VfioDevice* vfio) {
  if (!spec.identity().id().empty()) {
    const auto [vendor, device] = NumbersOf(spec.identity().id());
    vfio->mutable_identity()->set_vendor_id(vendor);
    vfio->mutable_identity()->set_device_id(device);
  }
  if (!spec.identity().subsystem_id().empty()) {
    const auto [vendor, subsystem] = NumbersOf(spec.identity().subsystem_id());
    vfio->mutable_identity()->set_subsystem_vendor_id(vendor);
    vfio->mutable_identity()->set_subsystem_id(subsystem);
  }
  if (spec.has_gpudirect_clique()) {
    vfio->set_gpudirect_clique(static_cast<uint32_t>(spec.gpudirect_clique()));
  }
  if (spec.has_monitor()) {
    vfio->mutable_monitor()->set_width(static_cast<uint32_t>(spec.monitor().width()));
    vfio->mutable_monitor()->set_height(static_cast<uint32_t>(spec.monitor().height()));
  }
  vfio->set_hide_rom(spec.hide_rom());
  vfio->set_relocate_msix(spec.relocate_msix());
}

}  // namespace

DevicePlan PlanDevice(const ResolvedDevice& device, const v1::AssignedDeviceSpec& spec,
                      const std::vector<std::vector<int>>& memory_nodes) {
  DevicePlan plan{.id = device.id};
  plan.config.set_id(device.id);
  control::VfioDevice* vfio = plan.config.mutable_vfio();
  vfio->set_skip_reset(device.skip_reset);
  vfio->set_on_request(OnRequestOf(spec));
  vfio->set_on_error(OnErrorOf(spec));
  SetWhatIsShown(spec, vfio);
  if (device.mdev) {
    AddMdev(*device.mdev, &plan);
  } else if (device.vf) {
    AddVf(*device.vf, &plan);
  } else {
    if (device.vgpu_type) {
      // Its vendor's driver is the VFIO driver, too.
      plan.steps.push_back(VgpuTypeStep{.address = *device.address, .type = *device.vgpu_type});
    } else {
      plan.steps.push_back(DriverStep{.address = device.address});
    }
    plan.name.address = device.address;
  }
  if (device.host_node && memory_nodes.size() > 1) {
    SetNearestNode(*device.host_node, memory_nodes, &plan.config);
  }
  return plan;
}

}  // namespace berth::server

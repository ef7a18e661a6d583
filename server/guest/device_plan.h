// What it takes to give one device to a machine: the same when the machine starts and while it runs.
#pragma once

#include <string>
#include <vector>

#include "berth/v1/guest.pb.h"
#include "berth/vmm/v1/control.pb.h"
#include "server/guest/descriptor.h"
#include "server/guest/resolved_device.h"
#include "server/guest/step.h"
#include "server/placement/placement.h"

namespace berth::server {

struct DevicePlan {
  std::string id;           // Within the guest.
  std::vector<Step> steps;  // In order.
  VfioDeviceName name;      // Where VFIO has it once the steps are done.
  // But for its group and its name in there, which are known then.
  berth::vmm::v1::DeviceConfig config;
};

// Pure. `memory_nodes` are the host nodes of each guest node, as placed.
DevicePlan PlanDevice(const ResolvedDevice& device, const v1::AssignedDeviceSpec& spec,
                      const std::vector<std::vector<int>>& memory_nodes);

}  // namespace berth::server

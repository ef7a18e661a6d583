// What starting a guest takes, all of it, before anything is done: plain data that tests read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "berth/v1/guest.pb.h"
#include "berth/vmm/v1/control.pb.h"
#include "server/guest/descriptor.h"
#include "server/guest/device_plan.h"
#include "server/guest/resolved_device.h"
#include "server/guest/step.h"
#include "server/overcommit/admission.h"
#include "server/overcommit/policy.h"
#include "server/placement/placement.h"
#include "server/store/guest_table.h"

namespace berth::server {

struct VmmLimits {
  uint64_t locked_memory_bytes = 0;  // RLIMIT_MEMLOCK
  uint64_t open_files = 0;           // RLIMIT_NOFILE
  uint32_t user = 0;                 // User and group id, no other guest's.
};

struct LaunchPlan {
  std::vector<Step> steps;              // In order.
  std::vector<DevicePlan> devices;      // Assigned ones; their steps come after.
  std::vector<Descriptor> descriptors;  // By index in the Build message.
  berth::vmm::v1::Build build;
  VmmLimits limits;
  // For each vCPU the child of the cgroup it goes to and its CPUs; then the threads that serve emulated
  // devices, and all others.
  std::vector<host::CgroupChild> vcpu_places;
  host::CgroupChild io_place, emulator_place;
};

// Of the daemon and the host.
struct LaunchSettings {
  std::string runtime_dir;  // "/run/berth"
  std::string state_dir;    // "/var/lib/berth"
  uint32_t first_user = 0;  // User ids from here on are the guests'.
  bool sandbox = true;
  bool vhost_net = false;  // The host has /dev/vhost-net.
  HostPolicy policy;
  std::vector<PoolSettings> pools;
  std::vector<std::string> trace_patterns;  // Of events that VMMs enable before they build anything.
};

// Pure. `devices` are the spec's assigned devices, in order.
LaunchPlan MakeLaunchPlan(const StoredGuest& guest, const std::vector<ResolvedDevice>& devices,
                          const Placement& placement, const Admission& admission,
                          const LaunchSettings& settings);

berth::vmm::v1::DiskIoLimits ToControlLimits(const v1::DiskIoLimits& limits);

// The guest's directory below the runtime directory, and the control socket in it.
std::string GuestRuntimeDir(const LaunchSettings& settings, const v1::Guest& guest);
std::string ControlSocketPath(const LaunchSettings& settings, const v1::Guest& guest);

}  // namespace berth::server

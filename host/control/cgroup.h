// A guest's cgroup (v2): a threaded domain that holds the VMM's process, with a threaded child for every kind
// of its threads, each with its CPUs.
//
//   <mount>/berth/GUEST            the process; memory and disks are accounted and limited here
//   <mount>/berth/GUEST/vcpu0…     one thread each
//   <mount>/berth/GUEST/emulator   control and helper threads
//   <mount>/berth/GUEST/io0…       threads that emulate devices
//
// "berth" is HostRoots::guests_cgroup: ours at the top of the hierarchy, or a cgroup that a service manager
// has delegated to us, with whatever it keeps in there.
//
// It stands in host/ and not in server/ because it is knowledge about the kernel's files, not about guests.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "host/control/cgroup_limits.h"
#include "host/control/control.h"
#include "host/cpu_set.h"

namespace berth::host {

struct CgroupChild {
  std::string name;  // "vcpu0"
  CgroupLimits limits;

  friend bool operator==(const CgroupChild&, const CgroupChild&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("name", self.name);
    visit("limits", self.limits);
  }
};

struct CgroupChange {
  std::string path;  // Below the mount: "berth/web1"
  CgroupLimits limits;
  std::vector<CgroupChild> children;

  friend bool operator==(const CgroupChange&, const CgroupChange&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("path", self.path);
    visit("limits", self.limits);
    visit("children", self.children);
  }
};

// Checks that the host has cgroup v2 with the controllers that the limits need (FAILED_PRECONDITION,
// CGROUP_V2_REQUIRED, CGROUP_CONTROLLER_MISSING), that the names can be directories (INVALID_ARGUMENT) and
// that nothing is there yet (ALREADY_EXISTS, CGROUP_EXISTS).
Result<CgroupChange> PlanCgroup(const HostRoots& roots, const std::string& guest, const CgroupLimits& limits,
                                const std::vector<CgroupChild>& children);
// Makes it, reads back every limit; FAILED_PRECONDITION, CGROUP_LIMIT_NOT_HELD, with what the kernel made of
// it.
Status CreateCgroup(const HostControl& control, const CgroupChange& change);
// Kills whatever is inside and removes it, children first. DEADLINE_EXCEEDED, CGROUP_NOT_EMPTY, if processes
// do not die.
Status RemoveCgroup(const HostControl& control, const CgroupChange& change);

// Limits that are there are set anew, at once for the whole guest or one child.
Status ChangeLimits(const HostControl& control, const CgroupChange& change, const std::string& child,
                    const CgroupLimits& limits);

// `child` empty: the process's own place. The thread belongs to a process that is in the cgroup already.
Status MoveProcess(const HostControl& control, const CgroupChange& change, int pid);
Status MoveThread(const HostControl& control, const CgroupChange& change, const std::string& child, int tid);

// What is in force now.
struct CgroupState {
  CgroupLimits limits;    // As set.
  CpuSet effective_cpus;  // cpuset.cpus.effective
  CpuSet effective_memory_nodes;
  std::vector<int> threads;  // Of this cgroup, not of its children.
};
// NOT_FOUND, CGROUP_NOT_FOUND. `child` as above.
Result<CgroupState> ReadCgroup(const HostRoots& roots, const CgroupChange& change, const std::string& child);

// Guests' cgroups that are there, by name: what a restarted daemon finds.
std::vector<std::string> ListGuestCgroups(const HostRoots& roots);
// Process ids in the guest's whole cgroup.
std::vector<int> ProcessesOf(const HostRoots& roots, const CgroupChange& change);

}  // namespace berth::host

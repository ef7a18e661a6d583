// Starts a VMM: a process with no privilege, in namespaces where nothing is, that has one descriptor to begin
// with.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/unique_fd.h"
#include "server/guest/launch_plan.h"

namespace berth::server {

// How far a VMM is shut in. Only tests, which have no privilege to begin with, do with less than all of it.
struct Confinement {
  // Mount, network, IPC, UTS and cgroup namespaces of its own.
  bool namespaces = true;
  // An empty root directory; the program must not need a loader.
  bool empty_root = true;
  // The user and limits of the plan.
  bool user_and_limits = true;
};

struct LaunchRequest {
  std::string program;      // Path of berth-vmm.
  std::string name;         // The guest's; for lists of processes.
  std::string uuid;         // The guest's; NVIDIA's vGPU manager looks for "-uuid UUID" in the command line.
  std::string runtime_dir;  // The guest's; where its root is mounted, in its own namespace.
  VmmLimits limits;
  Confinement confinement;
  int log_fd = -1;  // Its standard error.
};

struct LaunchedVmm {
  pid_t pid = -1;
  UniqueFd pidfd;
  UniqueFd socket;  // The other end of its descriptor 3 (SEQPACKET).
};

// `before_exec` is called with the new process's id, before that does anything; if it fails, so does the
// launch. The program runs once this returns. It ends with the daemon only if the daemon ends before that.
// FAILED_PRECONDITION, VMM_NOT_STARTED, with the step that failed.
Result<LaunchedVmm> Launch(const LaunchRequest& request, const std::function<Status(pid_t)>& before_exec);

}  // namespace berth::server

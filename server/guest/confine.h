// What a new process does to itself before it becomes a VMM. All of it runs between fork and exec in a
// program with threads: no allocation, no locks, system calls only.
#pragma once

#include "server/guest/launcher.h"

namespace berth::server {

// Prepared before the fork.
struct ChildSetup {
  int program_fd = -1;
  int null_fd = -1;
  int log_fd = -1;
  int control_fd = -1;
  int go_fd = -1;     // A byte arrives when it may go on; end of file if it must not.
  int error_fd = -1;  // Gets a ChildFailure; closed by a successful exec.
  const char* root = nullptr;
  char* const* arguments = nullptr;
  char* const* environment = nullptr;
  VmmLimits limits;
  Confinement confinement;
};

struct ChildFailure {
  char step[32];
  int error;
};

[[noreturn]] void RunChild(const ChildSetup& setup);

}  // namespace berth::server

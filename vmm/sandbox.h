// What the threads of berth-vmm may ask of the kernel: filters (seccomp) that end the process on anything
// else.
#pragma once

#include "base/error.h"

namespace berth::vmm {

enum class ThreadKind {
  kAny,  // The process while it builds the machine, and whatever thread it starts: what all need together.
  kControl,  // The main thread, once the machine is built.
  kIo,
  kImage,  // That of a disk in a format: its blocking code.
  kVcpu,
};

// Confines the calling thread and those that it starts from here on. It can only be confined further: what
// every filter allows is allowed. INTERNAL if the kernel refuses.
//
// Does nothing in builds with sanitizers, whose runtimes make calls of their own; it says so in the log.
Status Confine(ThreadKind kind);

// Whether Confine does anything in this build.
bool CanConfine();

}  // namespace berth::vmm

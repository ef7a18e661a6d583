// The requests that a machine makes of KVM while it runs, for a filter that allows no others.
#pragma once

#include <cstdint>
#include <span>

namespace berth::kvm {

// By the threads that run vCPUs and devices: to run, to say where a vCPU was, to interrupt, to move memory,
// doorbells and interrupt routes.
std::span<const uint32_t> RunningRequests();
// By the thread that resets and takes apart the machine: the state of its vCPUs, the groups of its assigned
// devices.
std::span<const uint32_t> ControlRequests();
// The type byte of all of KVM's requests.
uint8_t RequestType();

}  // namespace berth::kvm

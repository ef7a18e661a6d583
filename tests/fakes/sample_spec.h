// Guest specs for tests.
#pragma once

#include <string>

#include "berth/v1/guest_spec.pb.h"

namespace berth::server {

// The smallest spec there is: one vCPU, 64 MiB, this kernel.
inline v1::GuestSpec SampleSpec(const std::string& kernel_path = "/boot/vmlinuz") {
  v1::GuestSpec spec;
  spec.mutable_cpus()->set_vcpu_count(1);
  spec.mutable_memory()->set_size_bytes(64 << 20);
  spec.mutable_boot()->set_kernel_path(kernel_path);
  return spec;
}

}  // namespace berth::server

// A vCPU's model-specific registers, all together. Linux, Documentation/virt/kvm/api.rst,
// KVM_GET_MSR_INDEX_LIST.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"

namespace berth::kvm {

struct MsrValue {
  uint32_t index = 0;
  uint64_t value = 0;
};

// The registers that KVM can save here, its own paravirtual ones included.
Result<std::vector<uint32_t>> MsrIndices(int kvm_fd);
// Those that cannot be read are left out.
std::vector<MsrValue> ReadMsrs(int vcpu_fd, std::span<const uint32_t> indices);
// Those that cannot be written are left alone; their number is returned.
size_t WriteMsrs(int vcpu_fd, std::span<const MsrValue> values);

}  // namespace berth::kvm

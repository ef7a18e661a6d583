#include "kvm/ioctls.h"

#include <array>

#include "kvm/uapi.h"

namespace berth::kvm {

std::span<const uint32_t> RunningRequests() {
  static constexpr auto kRequests =
      std::to_array<uint32_t>({KVM_RUN, KVM_GET_REGS, KVM_GET_SREGS, KVM_IRQ_LINE, KVM_IRQFD, KVM_IOEVENTFD,
                               KVM_SET_GSI_ROUTING, KVM_SET_USER_MEMORY_REGION});
  return kRequests;
}

std::span<const uint32_t> ControlRequests() {
  static constexpr auto kRequests = std::to_array<uint32_t>(
      {KVM_SET_REGS, KVM_SET_SREGS, KVM_SET_XSAVE, KVM_SET_XCRS, KVM_SET_NESTED_STATE, KVM_SET_DEBUGREGS,
       KVM_SET_LAPIC, KVM_SET_VCPU_EVENTS, KVM_SET_MP_STATE, KVM_SET_MSRS, KVM_SET_DEVICE_ATTR});
  return kRequests;
}

uint8_t RequestType() { return KVMIO; }

}  // namespace berth::kvm

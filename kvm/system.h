// /dev/kvm: what the host's KVM can do. Linux, Documentation/virt/kvm/api.rst.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "kvm/cpuid.h"

namespace berth::kvm {

class System {
 public:
  // Takes over a descriptor of /dev/kvm. FAILED_PRECONDITION, naming what is missing, if this KVM cannot run
  // guests of Berth's: another API version, or no irqchip, ioeventfd, irqfd (with resampling), immediate exit
  // or MSI.
  static Result<System> Create(UniqueFd kvm);

  // KVM_CHECK_EXTENSION of a KVM_CAP_ number; 0 is no.
  int Extension(int capability) const;
  bool has_tsc_deadline_timer() const;
  int fd() const { return fd_.get(); }
  // Bytes of the area each vCPU shares with KVM.
  uint64_t run_size_bytes() const { return run_size_bytes_; }
  // The MSRs that make up a vCPU's state.
  const std::vector<uint32_t>& msrs() const { return msrs_; }
  // Every CPUID leaf that KVM can give a guest here (KVM_GET_SUPPORTED_CPUID).
  Result<std::vector<CpuidEntry>> SupportedCpuid() const;

 private:
  System(UniqueFd fd, uint64_t run_size) : fd_(std::move(fd)), run_size_bytes_(run_size) {}
  UniqueFd fd_;
  uint64_t run_size_bytes_;
  std::vector<uint32_t> msrs_;
};

}  // namespace berth::kvm

#include "kvm/system.h"

#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "kvm/msrs.h"
#include "kvm/uapi.h"

namespace berth::kvm {
namespace {

constexpr uint32_t kMaxCpuidEntries = 256;

struct Needed {
  int capability;
  const char* name;
};
constexpr Needed kNeeded[] = {
    {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
    {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
    {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
    {KVM_CAP_IRQFD_RESAMPLE, "KVM_CAP_IRQFD_RESAMPLE"},
    {KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
    {KVM_CAP_IOEVENTFD_ANY_LENGTH, "KVM_CAP_IOEVENTFD_ANY_LENGTH"},
    {KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    {KVM_CAP_GET_TSC_KHZ, "KVM_CAP_GET_TSC_KHZ"},
};

}  // namespace

Result<System> System::Create(UniqueFd kvm) {
  const int version = ::ioctl(kvm.get(), KVM_GET_API_VERSION, 0);
  if (version < 0) return FailErrno(errno, "the descriptor given for /dev/kvm is not one");
  if (version != KVM_API_VERSION) {
    return Fail(Code::kFailedPrecondition, "KVM has API version {}, not {}", version, KVM_API_VERSION);
  }
  const int run_size = ::ioctl(kvm.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (run_size < static_cast<int>(sizeof(kvm_run)))
    return Fail(Code::kInternal, "KVM's run area is {} bytes", run_size);
  System system(std::move(kvm), static_cast<uint64_t>(run_size));
  for (const Needed& needed : kNeeded) {
    if (system.Extension(needed.capability) <= 0) {
      return Fail(Error(Code::kFailedPrecondition,
                        fmt::format("the host's KVM lacks {}; a kernel of 5.10 or later has it", needed.name))
                      .Reason("KVM_CAPABILITY_MISSING")
                      .With("capability", needed.name));
    }
  }
  system.msrs_ = TRY(MsrIndices(system.fd()));
  return system;
}

int System::Extension(int capability) const {
  return ::ioctl(fd_.get(), KVM_CHECK_EXTENSION, static_cast<unsigned long>(capability));
}

bool System::has_tsc_deadline_timer() const { return Extension(KVM_CAP_TSC_DEADLINE_TIMER) > 0; }

Result<std::vector<CpuidEntry>> System::SupportedCpuid() const {
  const size_t bytes = sizeof(kvm_cpuid2) + kMaxCpuidEntries * sizeof(kvm_cpuid_entry2);
  const std::unique_ptr<uint64_t[]> buffer(new uint64_t[bytes / sizeof(uint64_t) + 1]());
  auto* table = reinterpret_cast<kvm_cpuid2*>(buffer.get());
  table->nent = kMaxCpuidEntries;
  if (::ioctl(fd_.get(), KVM_GET_SUPPORTED_CPUID, table) != 0)
    return FailErrno(errno, "ask KVM for its CPUID leaves");
  std::vector<CpuidEntry> entries;
  for (uint32_t i = 0; i < table->nent; ++i) {
    const kvm_cpuid_entry2& entry = table->entries[i];
    entries.push_back({.function = entry.function,
                       .index = entry.index,
                       .index_matters = (entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0,
                       .eax = entry.eax,
                       .ebx = entry.ebx,
                       .ecx = entry.ecx,
                       .edx = entry.edx});
  }
  return entries;
}

}  // namespace berth::kvm

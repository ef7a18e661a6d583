#include "kvm/vcpu.h"

#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/ranges.h>

#include "kvm/msrs.h"
#include "kvm/uapi.h"

namespace berth::kvm {
namespace {

constexpr int kKickSignal = SIGUSR1;

constexpr uint64_t kCr0Pe = 1, kCr0Et = 1 << 4, kCr0Ne = 1 << 5, kCr0Pg = 1u << 31;
constexpr uint64_t kCr4Pae = 1 << 5;
constexpr uint64_t kEferLme = 1 << 8, kEferLma = 1 << 10;
constexpr uint32_t kMsrTsc = 0x10, kMsrMiscEnable = 0x1a0, kMsrMtrrDefType = 0x2ff;
constexpr uint64_t kMiscEnableFastString = 1, kMtrrEnable = 1 << 11, kMtrrWriteBack = 6;

// Segment types: Intel SDM 3A, 3.4.5.1.
kvm_segment Segment(uint16_t selector, uint8_t type, bool code, bool long_mode) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.db = long_mode && code ? 0 : 1;
  segment.s = 1;
  segment.l = long_mode && code ? 1 : 0;
  segment.g = 1;
  return segment;
}

void SetFlatSegments(kvm_sregs* sregs, bool long_mode) {
  constexpr uint8_t kCode = 0xb, kData = 0x3, kTss = 0xb;
  sregs->cs = Segment(0x10, kCode, true, long_mode);
  sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = Segment(0x18, kData, false, long_mode);
  sregs->tr = Segment(0x20, kTss, false, false);
  sregs->tr.s = 0;
  sregs->tr.g = 0;
  sregs->tr.db = 0;
  sregs->tr.limit = 0x67;
}

std::string InternalError(const kvm_run& run) {
  if (run.internal.suberror != KVM_INTERNAL_ERROR_EMULATION) {
    return fmt::format("KVM internal error, suberror {}", run.internal.suberror);
  }
  std::string bytes = "unknown";
  if (run.emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
    const size_t count =
        std::min<size_t>(run.emulation_failure.insn_size, sizeof(run.emulation_failure.insn_bytes));
    bytes = fmt::format(
        "{:02x}", fmt::join(run.emulation_failure.insn_bytes, run.emulation_failure.insn_bytes + count, " "));
  }
  return fmt::format("KVM cannot emulate the guest's instruction (bytes {})", bytes);
}

}  // namespace

// What Reset puts back, read from KVM right after creation: real hardware's state after power-on, as KVM
// models it.
struct Vcpu::PowerOnState {
  kvm_regs regs{};
  kvm_sregs sregs{};
  std::vector<uint32_t> xsave;  // struct kvm_xsave, and what this CPU has beyond it.
  kvm_xcrs xcrs{};
  kvm_lapic_state lapic{};
  kvm_mp_state mp_state{};
  kvm_vcpu_events events{};
  kvm_debugregs debugregs{};
  // Among them what the guest has given KVM to write to its memory: clocks, steal time, asynchronous page
  // faults. Where a reset forgot those, KVM would write into whatever the next kernel keeps there.
  std::vector<MsrValue> msrs;
  std::vector<uint8_t> nested;  // struct kvm_nested_state; empty where KVM has none.
};

Vcpu::Vcpu(Vm* vm, uint32_t index, UniqueFd fd, void* run)
    : vm_(vm), index_(index), fd_(std::move(fd)), run_(run), power_on_(std::make_unique<PowerOnState>()) {}

Vcpu::~Vcpu() { ::munmap(run_, vm_->system().run_size_bytes()); }

Result<std::unique_ptr<Vcpu>> Vcpu::Create(Vm* vm, uint32_t index, uint32_t apic_id) {
  UniqueFd fd(::ioctl(vm->fd(), KVM_CREATE_VCPU, static_cast<unsigned long>(apic_id)));
  if (!fd) return FailErrno(errno, "create vCPU {}", index);
  void* run = ::mmap(nullptr, vm->system().run_size_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (run == MAP_FAILED) return FailErrno(errno, "map the run area of vCPU {}", index);
  std::unique_ptr<Vcpu> vcpu(new Vcpu(vm, index, std::move(fd), run));
  TRY(vcpu->SaveState());
  return vcpu;
}

Status Vcpu::SetCpuid(const std::vector<CpuidEntry>& table) {
  std::vector<uint64_t> buffer((sizeof(kvm_cpuid2) + table.size() * sizeof(kvm_cpuid_entry2)) / 8 + 1);
  auto* request = reinterpret_cast<kvm_cpuid2*>(buffer.data());
  request->nent = static_cast<uint32_t>(table.size());
  for (size_t i = 0; i < table.size(); ++i) {
    kvm_cpuid_entry2& entry = request->entries[i];
    entry.function = table[i].function;
    entry.index = table[i].index;
    entry.flags = table[i].index_matters ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
    entry.eax = table[i].eax;
    entry.ebx = table[i].ebx;
    entry.ecx = table[i].ecx;
    entry.edx = table[i].edx;
  }
  if (::ioctl(fd_.get(), KVM_SET_CPUID2, request) != 0)
    return FailErrno(errno, "set CPUID of vCPU {}", index_);
  return Ok();
}

Status Vcpu::Enter(const LongModeEntry& entry) {
  kvm_sregs sregs = power_on_->sregs;
  SetFlatSegments(&sregs, true);
  sregs.gdt.base = entry.gdt_address;
  sregs.gdt.limit = entry.gdt_limit;
  sregs.cr0 = kCr0Pe | kCr0Et | kCr0Ne | kCr0Pg;
  sregs.cr3 = entry.page_table_root;
  sregs.cr4 = kCr4Pae;
  sregs.efer = kEferLme | kEferLma;
  if (::ioctl(fd_.get(), KVM_SET_SREGS, &sregs) != 0)
    return FailErrno(errno, "set segments of vCPU {}", index_);
  kvm_regs regs{};
  regs.rip = entry.rip;
  regs.rsi = entry.rsi;
  regs.rflags = 2;
  if (::ioctl(fd_.get(), KVM_SET_REGS, &regs) != 0)
    return FailErrno(errno, "set registers of vCPU {}", index_);
  return Ok();
}

Status Vcpu::Enter(const ProtectedModeEntry& entry) {
  kvm_sregs sregs = power_on_->sregs;
  SetFlatSegments(&sregs, false);
  sregs.cr0 = kCr0Pe | kCr0Et;
  sregs.cr4 = 0;
  sregs.efer = 0;
  if (::ioctl(fd_.get(), KVM_SET_SREGS, &sregs) != 0)
    return FailErrno(errno, "set segments of vCPU {}", index_);
  kvm_regs regs{};
  regs.rip = entry.eip;
  regs.rbx = entry.ebx;
  regs.rflags = 2;
  if (::ioctl(fd_.get(), KVM_SET_REGS, &regs) != 0)
    return FailErrno(errno, "set registers of vCPU {}", index_);
  return Ok();
}

Status Vcpu::SaveState() {
  PowerOnState& state = *power_on_;
  // KVM_CAP_XSAVE2 is the size, where it is known.
  const size_t xsave_size =
      std::max<size_t>(std::max(vm_->system().Extension(KVM_CAP_XSAVE2), 0), sizeof(kvm_xsave));
  const bool large = xsave_size > sizeof(kvm_xsave);
  state.xsave.resize(xsave_size / sizeof(uint32_t));
  const bool saved = ::ioctl(fd_.get(), KVM_GET_REGS, &state.regs) == 0 &&
                     ::ioctl(fd_.get(), KVM_GET_SREGS, &state.sregs) == 0 &&
                     ::ioctl(fd_.get(), large ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, state.xsave.data()) == 0 &&
                     ::ioctl(fd_.get(), KVM_GET_LAPIC, &state.lapic) == 0 &&
                     ::ioctl(fd_.get(), KVM_GET_MP_STATE, &state.mp_state) == 0 &&
                     ::ioctl(fd_.get(), KVM_GET_VCPU_EVENTS, &state.events) == 0 &&
                     ::ioctl(fd_.get(), KVM_GET_DEBUGREGS, &state.debugregs) == 0;
  if (!saved) return FailErrno(errno, "read the state of vCPU {}", index_);
  if (::ioctl(fd_.get(), KVM_GET_XCRS, &state.xcrs) != 0) state.xcrs.nr_xcrs = 0;
  state.msrs = ReadMsrs(fd_.get(), vm_->system().msrs());
  // Time goes on.
  std::erase_if(state.msrs, [](const MsrValue& msr) { return msr.index == kMsrTsc; });
  if (const int size = vm_->system().Extension(KVM_CAP_NESTED_STATE); size > 0) {
    state.nested.resize(static_cast<size_t>(size));
    auto* nested = reinterpret_cast<kvm_nested_state*>(state.nested.data());
    nested->size = static_cast<uint32_t>(size);
    if (::ioctl(fd_.get(), KVM_GET_NESTED_STATE, nested) != 0)
      return FailErrno(errno, "read the nested state of vCPU {}", index_);
    state.nested.resize(nested->size);
  }
  return Ok();
}

Status Vcpu::Reset() {
  PowerOnState& state = *power_on_;
  // A guest that was a host itself leaves its own guest first.
  if (!state.nested.empty() && ::ioctl(fd_.get(), KVM_SET_NESTED_STATE, state.nested.data()) != 0)
    return FailErrno(errno, "reset the nested state of vCPU {}", index_);
  const bool restored = ::ioctl(fd_.get(), KVM_SET_REGS, &state.regs) == 0 &&
                        ::ioctl(fd_.get(), KVM_SET_SREGS, &state.sregs) == 0 &&
                        ::ioctl(fd_.get(), KVM_SET_XSAVE, state.xsave.data()) == 0 &&
                        (state.xcrs.nr_xcrs == 0 || ::ioctl(fd_.get(), KVM_SET_XCRS, &state.xcrs) == 0) &&
                        ::ioctl(fd_.get(), KVM_SET_DEBUGREGS, &state.debugregs) == 0 &&
                        ::ioctl(fd_.get(), KVM_SET_LAPIC, &state.lapic) == 0 &&
                        ::ioctl(fd_.get(), KVM_SET_VCPU_EVENTS, &state.events) == 0 &&
                        ::ioctl(fd_.get(), KVM_SET_MP_STATE, &state.mp_state) == 0;
  if (!restored) return FailErrno(errno, "reset vCPU {}", index_);
  WriteMsrs(fd_.get(), state.msrs);

  // What firmware would have left: fast string operations on, all memory write-back by default.
  constexpr MsrValue kByFirmware[] = {{kMsrMiscEnable, kMiscEnableFastString},
                                      {kMsrMtrrDefType, kMtrrEnable | kMtrrWriteBack}};
  WriteMsrs(fd_.get(), kByFirmware);
  return Ok();
}

uint64_t Vcpu::PreFault(uint64_t guest_address, uint64_t size_bytes) {
  kvm_pre_fault_memory request{};
  request.gpa = guest_address;
  request.size = size_bytes;
  int result;
  do {
    result = ::ioctl(fd_.get(), KVM_PRE_FAULT_MEMORY, &request);  // Moves the start on.
  } while (request.size != 0 && (result == 0 || errno == EINTR || errno == EAGAIN));
  return size_bytes - request.size;
}

uint32_t Vcpu::tsc_khz() const {
  const int khz = ::ioctl(fd_.get(), KVM_GET_TSC_KHZ, 0);
  return khz > 0 ? static_cast<uint32_t>(khz) : 0;
}

std::string Vcpu::DescribePlace() const {
  kvm_regs regs{};
  kvm_sregs sregs{};
  const bool read =
      ::ioctl(fd_.get(), KVM_GET_REGS, &regs) == 0 && ::ioctl(fd_.get(), KVM_GET_SREGS, &sregs) == 0;
  if (!read || (regs.rip == power_on_->regs.rip && sregs.cs.base == power_on_->sregs.cs.base)) return {};
  return fmt::format("rip {:#x}, rsp {:#x}, cr2 {:#x}, cr3 {:#x}", regs.rip, regs.rsp, sregs.cr2, sregs.cr3);
}

Exit Vcpu::Run() {
  auto* run = static_cast<kvm_run*>(run_);
  if (::ioctl(fd_.get(), KVM_RUN, 0) != 0) {
    if (errno == EINTR || errno == EAGAIN) return exits::Interrupted{};
    return exits::Failed{fmt::format("KVM_RUN: {}", std::strerror(errno))};
  }
  exits_.fetch_add(1, std::memory_order_relaxed);
  switch (run->exit_reason) {
    case KVM_EXIT_IO:
      return exits::Io{.port = run->io.port,
                       .size = run->io.size,
                       .count = run->io.count,
                       .write = run->io.direction == KVM_EXIT_IO_OUT,
                       .data = static_cast<uint8_t*>(run_) + run->io.data_offset};
    case KVM_EXIT_MMIO:
      return exits::Mmio{.address = run->mmio.phys_addr,
                         .size = run->mmio.len,
                         .write = run->mmio.is_write != 0,
                         .data = run->mmio.data};
    case KVM_EXIT_INTR:
      return exits::Interrupted{};
    case KVM_EXIT_SHUTDOWN:
      return exits::Shutdown{};
    case KVM_EXIT_HLT:
      return exits::Halted{};
    case KVM_EXIT_SYSTEM_EVENT:
      return exits::Shutdown{};
    case KVM_EXIT_FAIL_ENTRY:
      return exits::Failed{fmt::format("the CPU refused to enter the guest, hardware reason {:#x}",
                                       run->fail_entry.hardware_entry_failure_reason)};
    case KVM_EXIT_INTERNAL_ERROR:
      return exits::Failed{InternalError(*run)};
    default:
      return exits::Failed{fmt::format("unexpected exit reason {}", run->exit_reason)};
  }
}

void Vcpu::Kick(pthread_t thread) {
  // KVM looks at the flag before it enters the guest; the signal ends a guest that runs already.
  __atomic_store_n(&static_cast<kvm_run*>(run_)->immediate_exit, 1, __ATOMIC_RELEASE);
  ::pthread_kill(thread, kKickSignal);
}

void Vcpu::ClearKick() {
  __atomic_store_n(&static_cast<kvm_run*>(run_)->immediate_exit, 0, __ATOMIC_RELEASE);
}

Status Vcpu::PrepareKicks() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  if (::sigaction(kKickSignal, &action, nullptr) != 0)
    return FailErrno(errno, "install the kick signal's handler");
  return Ok();
}

}  // namespace berth::kvm

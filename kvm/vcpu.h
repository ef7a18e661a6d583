// One virtual CPU of KVM: its state at the start, and the run loop's exits. Linux,
// Documentation/virt/kvm/api.rst.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "kvm/cpuid.h"
#include "kvm/vm.h"

namespace berth::kvm {

// Why KVM_RUN came back.
namespace exits {
// An IN or OUT, `count` times (string instructions) `size` bytes. For an IN, `data` is filled before the next
// Run.
struct Io {
  uint16_t port;
  unsigned size;
  uint32_t count;
  bool write;
  uint8_t* data;  // size * count bytes, in the run area.
};
struct Mmio {
  uint64_t address;
  unsigned size;
  bool write;
  uint8_t* data;  // `size` bytes, in the run area.
};
struct Interrupted {};  // A kick or a signal.
struct Shutdown {};     // Triple fault: real machines reset.
struct Halted {};       // Only without an in-kernel APIC.
struct Failed {         // The vCPU cannot go on.
  std::string why;
};
}  // namespace exits
using Exit =
    std::variant<exits::Io, exits::Mmio, exits::Interrupted, exits::Shutdown, exits::Halted, exits::Failed>;

// How the first vCPU enters a kernel: 64-bit with paging (Linux boot protocol) or 32-bit protected mode
// (PVH).
struct LongModeEntry {
  uint64_t rip = 0;
  uint64_t rsi = 0;              // boot_params
  uint64_t page_table_root = 0;  // cr3
  uint64_t gdt_address = 0;      // A table with code at 0x10 and data at 0x18.
  uint16_t gdt_limit = 0;
};
struct ProtectedModeEntry {
  uint32_t eip = 0;
  uint32_t ebx = 0;  // hvm_start_info
};

// All but Kick belongs to the thread that runs the vCPU (or to one that starts it, before).
class Vcpu {
 public:
  static Result<std::unique_ptr<Vcpu>> Create(Vm* vm, uint32_t index, uint32_t apic_id);
  ~Vcpu();

  Status SetCpuid(const std::vector<CpuidEntry>& table);
  Status Enter(const LongModeEntry& entry);
  Status Enter(const ProtectedModeEntry& entry);
  // To the state after power-on (or INIT, for those that wait for the first vCPU); the local APIC included.
  Status Reset();

  // Maps a range of guest RAM before the guest touches it, as far as KVM can; the host allocates what is not
  // there. Returns how many bytes, from the start, were mapped.
  uint64_t PreFault(uint64_t guest_address, uint64_t size_bytes);

  // Runs until something is for us. Kicks that arrive before it are not lost.
  Exit Run();
  // Makes the current or the next Run return Interrupted: `thread` is the one that runs it. Any thread.
  void Kick(pthread_t thread);
  // A kick was for something that is done: Run may run again.
  void ClearKick();
  // Installs the signal handler that kicks rely on; once a process, before the first Run.
  static Status PrepareKicks();

  uint32_t index() const { return index_; }
  uint64_t exits() const { return exits_.load(std::memory_order_relaxed); }
  uint32_t tsc_khz() const;
  // Where it is, for people: the instruction, the stack, the last page fault's address, the page tables.
  // Empty at the reset vector: AMD processors lose their state when they shut down, and KVM has reset them by
  // then.
  std::string DescribePlace() const;

 private:
  struct PowerOnState;
  Vcpu(Vm* vm, uint32_t index, UniqueFd fd, void* run);
  Status SaveState();

  Vm* const vm_;
  const uint32_t index_;
  const UniqueFd fd_;
  void* const run_;  // struct kvm_run
  std::atomic<uint64_t> exits_{0};
  std::unique_ptr<PowerOnState> power_on_;
};

}  // namespace berth::kvm

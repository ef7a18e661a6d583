// One virtual machine of KVM: memory slots, doorbells, interrupt routes. Linux,
// Documentation/virt/kvm/api.rst.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/error.h"
#include "base/unique_fd.h"
#include "kvm/system.h"

namespace berth::kvm {

// A message-signalled interrupt behind a GSI number (KVM_IRQ_ROUTING_MSI).
struct MsiRoute {
  uint32_t gsi = 0;
  uint64_t address = 0;
  uint32_t data = 0;
};

// Any thread may call any method.
class Vm {
 public:
  // Pins of the in-kernel I/O APIC: GSIs 0 to 23 are its own.
  static constexpr uint32_t kIoApicPins = 24;

  // Creates the machine with KVM's local and I/O APICs (no PIC's pins routed, no PIT), and its TSS out of the
  // way of guest RAM. `system` outlives it.
  static Result<std::unique_ptr<Vm>> Create(const System* system);

  int fd() const { return fd_.get(); }
  const System& system() const { return *system_; }

  uint32_t max_memory_slots() const { return max_memory_slots_; }
  uint32_t max_vcpus() const { return max_vcpus_; }
  // Routes that SetRoutes takes at most (4096 on x86).
  uint32_t max_routes() const { return max_routes_; }

  // size_bytes 0 takes the slot away. Addresses and sizes are multiples of 4 KiB.
  Status SetMemorySlot(uint32_t slot, uint64_t guest_address, uint8_t* host_address, uint64_t size_bytes,
                       bool read_only);
  // Registers or removes an ioeventfd; size_bytes 0 matches any width.
  Status SetIoEvent(int eventfd, bool port, uint64_t address, uint32_t size_bytes,
                    std::optional<uint64_t> value, bool assign);

  // Replaces the whole route table: the I/O APIC's pins, which are always there, and these.
  Status SetRoutes(std::span<const MsiRoute> routes);
  // Connects an eventfd to a GSI, or takes it off. With a resample eventfd (level-triggered pins) the line
  // falls at EOI, and that eventfd is signalled.
  Status SetIrqFd(int eventfd, uint32_t gsi, bool assign, int resample_eventfd = -1);
  Status SetIrqLine(uint32_t gsi, bool level);

  // The KVM-VFIO device (Documentation/virt/kvm/devices/vfio.rst): one a machine; groups are added before
  // their devices are opened.
  Result<UniqueFd> CreateVfioDevice();
  static Status VfioAddGroup(int kvm_vfio_fd, int group_fd);
  static Status VfioRemoveGroup(int kvm_vfio_fd, int group_fd);

 private:
  explicit Vm(const System* system, UniqueFd fd) : system_(system), fd_(std::move(fd)) {}
  void KeepMapsOfOtherSlots();

  const System* const system_;
  const UniqueFd fd_;
  uint32_t max_memory_slots_ = 0;
  uint32_t max_vcpus_ = 0;
  uint32_t max_routes_ = 0;
};

}  // namespace berth::kvm

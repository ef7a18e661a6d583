#include "kvm/vm.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "base/log.h"
#include "kvm/uapi.h"

namespace berth::kvm {
namespace {

// Three pages for Intel's real-mode TSS and one for its identity map, in the top 64 KiB below 4 GiB where
// nothing of the guest is (hw/boot's address map keeps it free).
constexpr uint64_t kTssAddress = 0xfffbd000, kIdentityMapAddress = 0xfffbc000;

}  // namespace

Result<std::unique_ptr<Vm>> Vm::Create(const System* system) {
  int fd;
  do {
    fd = ::ioctl(system->fd(), KVM_CREATE_VM, 0);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return FailErrno(errno, "create a virtual machine");
  std::unique_ptr<Vm> vm(new Vm(system, UniqueFd(fd)));
  uint64_t identity_map = kIdentityMapAddress;
  if (::ioctl(fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) != 0 ||
      ::ioctl(fd, KVM_SET_TSS_ADDR, kTssAddress) != 0) {
    return FailErrno(errno, "place KVM's own pages in the machine");
  }
  vm->KeepMapsOfOtherSlots();
  if (::ioctl(fd, KVM_CREATE_IRQCHIP, 0) != 0) return FailErrno(errno, "create KVM's interrupt controllers");
  const auto limit = [system](int capability, int least) {
    return static_cast<uint32_t>(std::max(system->Extension(capability), least));
  };
  vm->max_memory_slots_ = limit(KVM_CAP_NR_MEMSLOTS, 32);
  vm->max_vcpus_ = limit(KVM_CAP_MAX_VCPUS, 1);
  vm->max_routes_ = limit(KVM_CAP_IRQ_ROUTING, 1024);
  TRY(vm->SetRoutes({}));
  return vm;
}

// Without this, taking one memory slot away makes KVM forget the translations of all of them, and the guest
// faults on every page anew: each time a driver turns a BAR's decoding off. KVMs that do not know it are
// slower.
void Vm::KeepMapsOfOtherSlots() {
  if ((system_->Extension(KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_SLOT_ZAP_ALL) == 0) return;
  kvm_enable_cap request{};
  request.cap = KVM_CAP_DISABLE_QUIRKS2;
  request.args[0] = KVM_X86_QUIRK_SLOT_ZAP_ALL;
  if (::ioctl(fd_.get(), KVM_ENABLE_CAP, &request) != 0) {
    LOG_WARNING("KVM keeps its way of removing memory slots: {}", std::strerror(errno));
  }
}

Status Vm::SetMemorySlot(uint32_t slot, uint64_t guest_address, uint8_t* host_address, uint64_t size_bytes,
                         bool read_only) {
  kvm_userspace_memory_region region{
      .slot = slot,
      .flags = read_only && size_bytes != 0 ? uint32_t{KVM_MEM_READONLY} : 0u,
      .guest_phys_addr = guest_address,
      .memory_size = size_bytes,
      .userspace_addr = reinterpret_cast<uint64_t>(host_address),
  };
  if (::ioctl(fd_.get(), KVM_SET_USER_MEMORY_REGION, &region) != 0) {
    return FailErrno(errno, "map {} at guest address {:#x} (slot {})", HumanSize(size_bytes), guest_address,
                     slot);
  }
  return Ok();
}

Status Vm::SetIoEvent(int eventfd, bool port, uint64_t address, uint32_t size_bytes,
                      std::optional<uint64_t> value, bool assign) {
  kvm_ioeventfd event{};
  event.datamatch = value.value_or(0);
  event.addr = address;
  event.len = size_bytes;
  event.fd = eventfd;
  event.flags = (assign ? 0u : uint32_t{KVM_IOEVENTFD_FLAG_DEASSIGN}) |
                (value ? uint32_t{KVM_IOEVENTFD_FLAG_DATAMATCH} : 0u) |
                (port ? uint32_t{KVM_IOEVENTFD_FLAG_PIO} : 0u);
  if (::ioctl(fd_.get(), KVM_IOEVENTFD, &event) != 0) {
    return FailErrno(errno, "{} an ioeventfd at {:#x}", assign ? "register" : "remove", address);
  }
  return Ok();
}

Status Vm::SetRoutes(std::span<const MsiRoute> routes) {
  const size_t count = kIoApicPins + routes.size();
  std::vector<uint64_t> buffer((sizeof(kvm_irq_routing) + count * sizeof(kvm_irq_routing_entry)) / 8 + 1);
  auto* table = reinterpret_cast<kvm_irq_routing*>(buffer.data());
  table->nr = static_cast<uint32_t>(count);
  kvm_irq_routing_entry* entry = table->entries;
  for (uint32_t pin = 0; pin < kIoApicPins; ++pin, ++entry) {
    entry->gsi = pin;
    entry->type = KVM_IRQ_ROUTING_IRQCHIP;
    entry->u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
    entry->u.irqchip.pin = pin;
  }
  for (const MsiRoute& route : routes) {
    entry->gsi = route.gsi;
    entry->type = KVM_IRQ_ROUTING_MSI;
    entry->u.msi.address_lo = static_cast<uint32_t>(route.address);
    entry->u.msi.address_hi = static_cast<uint32_t>(route.address >> 32);
    entry->u.msi.data = route.data;
    ++entry;
  }
  if (::ioctl(fd_.get(), KVM_SET_GSI_ROUTING, table) != 0)
    return FailErrno(errno, "set {} interrupt routes", count);
  return Ok();
}

Status Vm::SetIrqFd(int eventfd, uint32_t gsi, bool assign, int resample_eventfd) {
  kvm_irqfd request{};
  request.fd = static_cast<uint32_t>(eventfd);
  request.gsi = gsi;
  if (!assign) request.flags |= KVM_IRQFD_FLAG_DEASSIGN;
  if (assign && resample_eventfd >= 0) {
    request.flags |= KVM_IRQFD_FLAG_RESAMPLE;
    request.resamplefd = static_cast<uint32_t>(resample_eventfd);
  }
  if (::ioctl(fd_.get(), KVM_IRQFD, &request) != 0) {
    return FailErrno(errno, "{} the irqfd of interrupt {}", assign ? "connect" : "disconnect", gsi);
  }
  return Ok();
}

Status Vm::SetIrqLine(uint32_t gsi, bool level) {
  kvm_irq_level request{};
  request.irq = gsi;
  request.level = level ? 1 : 0;
  if (::ioctl(fd_.get(), KVM_IRQ_LINE, &request) != 0) return FailErrno(errno, "set interrupt line {}", gsi);
  return Ok();
}

Result<UniqueFd> Vm::CreateVfioDevice() {
  kvm_create_device request{};
  request.type = KVM_DEV_TYPE_VFIO;
  if (::ioctl(fd_.get(), KVM_CREATE_DEVICE, &request) != 0) {
    return FailErrno(errno, "create KVM's VFIO device (is the module kvm's VFIO support there?)");
  }
  return UniqueFd(static_cast<int>(request.fd));
}

namespace {

Status SetVfioGroup(int kvm_vfio_fd, int group_fd, uint64_t attribute, const char* what) {
  kvm_device_attr request{};
  request.group = KVM_DEV_VFIO_GROUP;
  request.attr = attribute;
  request.addr = reinterpret_cast<uint64_t>(&group_fd);
  if (::ioctl(kvm_vfio_fd, KVM_SET_DEVICE_ATTR, &request) != 0)
    return FailErrno(errno, "{} a VFIO group", what);
  return Ok();
}

}  // namespace

Status Vm::VfioAddGroup(int kvm_vfio_fd, int group_fd) {
  return SetVfioGroup(kvm_vfio_fd, group_fd, KVM_DEV_VFIO_GROUP_ADD, "register with KVM");
}

Status Vm::VfioRemoveGroup(int kvm_vfio_fd, int group_fd) {
  return SetVfioGroup(kvm_vfio_fd, group_fd, KVM_DEV_VFIO_GROUP_DEL, "withdraw from KVM");
}

}  // namespace berth::kvm

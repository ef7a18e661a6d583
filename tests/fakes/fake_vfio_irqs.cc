// The interrupt half of FakeVfioDevice.
#include <linux/vfio.h>

#include <cerrno>
#include <cstring>

#include "tests/fakes/fake_vfio_device.h"

namespace berth::vfio {
namespace {

UniqueFd Keep(int32_t eventfd) {
  if (eventfd < 0) return {};
  Result<UniqueFd> kept = Duplicate(eventfd);
  CHECK(kept);
  return std::move(*kept);
}

}  // namespace

int FakeVfioDevice::IrqInfoIoctl(uint8_t* argument) {
  vfio_irq_info info;
  std::memcpy(&info, argument, sizeof(info));
  if (info.argsz < sizeof(info) || info.index >= kIrqIndices) return -EINVAL;
  info.count = irqs[info.index].count;
  info.flags = irqs[info.index].flags;
  std::memcpy(argument, &info, sizeof(info));
  return 0;
}

int FakeVfioDevice::SetIrqs(const uint8_t* argument) {
  vfio_irq_set head;
  std::memcpy(&head, argument, sizeof(head));
  if (head.argsz < sizeof(head) || head.index >= kIrqIndices) return -EINVAL;
  const uint32_t action = head.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
  const bool with_eventfds = head.flags & VFIO_IRQ_SET_DATA_EVENTFD;
  if (head.start >= irqs[head.index].count || head.count > irqs[head.index].count - head.start)
    return -EINVAL;
  std::vector<int32_t> eventfds(with_eventfds ? head.count : 0);
  if (head.argsz - sizeof(head) < eventfds.size() * sizeof(int32_t)) return -EINVAL;
  if (!eventfds.empty())
    std::memcpy(eventfds.data(), argument + sizeof(head), eventfds.size() * sizeof(int32_t));
  const int32_t* data = eventfds.empty() ? nullptr : eventfds.data();

  switch (head.index) {
    case VFIO_PCI_INTX_IRQ_INDEX:
      return SetIntxIrq(action, head.count, data);
    case VFIO_PCI_MSI_IRQ_INDEX:
    case VFIO_PCI_MSIX_IRQ_INDEX:
      if (action != VFIO_IRQ_SET_ACTION_TRIGGER) return -ENOTTY;
      return SetMessageIrqs(head.index, head.start, head.count, data);
  }
  if (action != VFIO_IRQ_SET_ACTION_TRIGGER || data == nullptr) return -EINVAL;
  irqs[head.index].triggers.resize(1);
  irqs[head.index].triggers[0] = Keep(data[0]);
  return 0;
}

int FakeVfioDevice::SetIntxIrq(uint32_t action, uint32_t count, const int32_t* eventfds) {
  Irq& irq = irqs[VFIO_PCI_INTX_IRQ_INDEX];
  const bool on = irq_mode_ == VFIO_PCI_INTX_IRQ_INDEX;
  if (action == VFIO_IRQ_SET_ACTION_TRIGGER) {
    if (count == 0) {
      if (!on) return -EINVAL;
      irq.triggers.clear();
      intx_unmask_.Reset();
      irq_mode_ = -1;
      return 0;
    }
    if (irq_mode_ != -1 && !on) return -EINVAL;
    if (eventfds == nullptr) return on ? (SignalIntx(), 0) : -EINVAL;
    irq.triggers.clear();
    irq.triggers.push_back(Keep(eventfds[0]));
    irq_mode_ = VFIO_PCI_INTX_IRQ_INDEX;
    intx_masked_ = false;
    SignalIntx();
    return 0;
  }
  if (!on || count != 1) return -EINVAL;
  if (action == VFIO_IRQ_SET_ACTION_MASK) {
    if (eventfds != nullptr) return -ENOTTY;
    intx_masked_ = true;
    return 0;
  }
  if (eventfds != nullptr) {
    if (!intx_unmask_eventfd) return -ENOTTY;
    intx_unmask_ = Keep(eventfds[0]);
    return 0;
  }
  intx_masked_ = false;
  SignalIntx();
  return 0;
}

int FakeVfioDevice::SetMessageIrqs(uint32_t index, uint32_t start, uint32_t count, const int32_t* eventfds) {
  Irq& irq = irqs[index];
  const bool on = irq_mode_ == static_cast<int>(index);
  if (count == 0 && eventfds == nullptr) {
    if (!on) return -EINVAL;
    irq.triggers.clear();
    irq_mode_ = -1;
    return 0;
  }
  if (eventfds == nullptr || (irq_mode_ != -1 && !on)) return -EINVAL;
  if (index == VFIO_PCI_MSIX_IRQ_INDEX && refuses_msix_without_trigger && !on && eventfds[0] < 0)
    return -EINVAL;
  if (host_vectors == 0) return -ENOSPC;
  if (start + count > host_vectors) return on ? -ENOSPC : static_cast<int>(host_vectors);
  if (on && start + count > irq.triggers.size() && (irq.flags & VFIO_IRQ_INFO_NORESIZE)) return -EINVAL;
  if (start + count > irq.triggers.size()) irq.triggers.resize(start + count);
  for (uint32_t i = 0; i < count; ++i) irq.triggers[start + i] = Keep(eventfds[i]);
  irq_mode_ = static_cast<int>(index);
  return 0;
}

void FakeVfioDevice::SignalIntx() {
  const Irq& irq = irqs[VFIO_PCI_INTX_IRQ_INDEX];
  if (!intx_level_ || intx_masked_ || irq_mode_ != VFIO_PCI_INTX_IRQ_INDEX || !irq.triggers[0]) return;
  intx_masked_ = irq.flags & VFIO_IRQ_INFO_AUTOMASKED;
  SignalEventFd(irq.triggers[0].get());
}

void FakeVfioDevice::SetIntx(bool level) {
  intx_level_ = level;
  SignalIntx();
}

void FakeVfioDevice::ServeIntxUnmask() {
  if (!intx_unmask_ || DrainEventFd(intx_unmask_.get()) == 0) return;
  intx_masked_ = false;
  SignalIntx();
}

void FakeVfioDevice::Raise(unsigned irq_index, unsigned vector) {
  const Irq& irq = irqs[irq_index];
  if (vector < irq.triggers.size() && irq.triggers[vector]) SignalEventFd(irq.triggers[vector].get());
}

unsigned FakeVfioDevice::connected(unsigned irq_index) const {
  unsigned count = 0;
  for (const UniqueFd& trigger : irqs[irq_index].triggers) count += trigger ? 1 : 0;
  return count;
}

}  // namespace berth::vfio

#include "vfio/device_interrupts.h"

#include <linux/vfio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/log.h"
#include "vfio/trace.h"

namespace berth::vfio {
namespace {

uint32_t IndexOf(DeviceInterrupts::Mode mode) {
  switch (mode) {
    case DeviceInterrupts::Mode::kMsi:
      return VFIO_PCI_MSI_IRQ_INDEX;
    case DeviceInterrupts::Mode::kMsix:
      return VFIO_PCI_MSIX_IRQ_INDEX;
    default:
      return VFIO_PCI_INTX_IRQ_INDEX;
  }
}

}  // namespace

Result<std::unique_ptr<DeviceInterrupts>> DeviceInterrupts::Create(const Device* device) {
  std::unique_ptr<DeviceInterrupts> interrupts(new DeviceInterrupts(device));
  interrupts->intx_ = TRY(device->Interrupts(VFIO_PCI_INTX_IRQ_INDEX));
  interrupts->msi_ = TRY(device->Interrupts(VFIO_PCI_MSI_IRQ_INDEX));
  interrupts->msix_ = TRY(device->Interrupts(VFIO_PCI_MSIX_IRQ_INDEX));
  return interrupts;
}

int DeviceInterrupts::Set(uint32_t index, uint32_t action, uint32_t start, uint32_t count,
                          std::span<const int> eventfds) {
  vfio_irq_set head{};
  std::vector<uint8_t> buffer(sizeof(head) + eventfds.size_bytes());
  head.argsz = static_cast<uint32_t>(buffer.size());
  head.flags = action | (eventfds.empty() ? VFIO_IRQ_SET_DATA_NONE : VFIO_IRQ_SET_DATA_EVENTFD);
  head.index = index;
  head.start = start;
  head.count = count;
  std::memcpy(buffer.data(), &head, sizeof(head));
  if (!eventfds.empty()) std::memcpy(&buffer[sizeof(head)], eventfds.data(), eventfds.size_bytes());
  const int result = Ioctl(device_->syscalls(), device_->fd(), VFIO_DEVICE_SET_IRQS, buffer.data());
  trace::vfio_set_irqs(device_->name(), index, head.flags, start, count, result);
  return result;
}

DeviceInterrupts::Mode DeviceInterrupts::mode() const {
  MutexLock lock(mutex_);
  return mode_;
}

Status DeviceInterrupts::EnableIntx(int trigger_eventfd) {
  MutexLock lock(mutex_);
  DisableLocked();
  const int error = Set(VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 1, {&trigger_eventfd, 1});
  if (error < 0) return FailErrno(-error, "enable INTx of {}", device_->name());
  mode_ = Mode::kIntx;
  return Ok();
}

Status DeviceInterrupts::ConnectIntxUnmask(int resample_eventfd) {
  MutexLock lock(mutex_);
  if (mode_ != Mode::kIntx) return Ok();
  const int error = Set(VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, {&resample_eventfd, 1});
  if (error == -ENOTTY) return Fail(Code::kUnimplemented, "{} has no unmask eventfd", device_->name());
  if (error < 0) return FailErrno(-error, "connect the INTx unmask of {}", device_->name());
  return Ok();
}

Status DeviceInterrupts::UnmaskIntx() {
  MutexLock lock(mutex_);
  if (mode_ != Mode::kIntx) return Ok();
  const int error = Set(VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, {});
  if (error < 0) return FailErrno(-error, "unmask INTx of {}", device_->name());
  return Ok();
}

Result<unsigned> DeviceInterrupts::EnableMsi(std::span<const int> eventfds) {
  MutexLock lock(mutex_);
  DisableLocked();
  unsigned count = std::min<unsigned>(eventfds.size(), msi_.count);
  // A positive answer is the number of vectors that the host could give; each try asks for fewer.
  while (count > 0) {
    const int result =
        Set(VFIO_PCI_MSI_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0, count, eventfds.first(count));
    if (result == 0) {
      mode_ = Mode::kMsi;
      return count;
    }
    if (result < 0) return FailErrno(-result, "enable {} MSI vectors of {}", count, device_->name());
    count = std::min<unsigned>(result, count - 1);
  }
  return Fail(Code::kResourceExhausted, "the host has no MSI vector for {}", device_->name());
}

Status DeviceInterrupts::EnableMsix(int first_eventfd) {
  MutexLock lock(mutex_);
  DisableLocked();
  const int none = -1;
  int result = Set(VFIO_PCI_MSIX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 1, {&none, 1});
  msix_eventfds_ = {-1};
  if (result != 0) {
    result = Set(VFIO_PCI_MSIX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 1, {&first_eventfd, 1});
    msix_eventfds_ = {first_eventfd};
  }
  if (result < 0) return FailErrno(-result, "enable MSI-X of {}", device_->name());
  if (result > 0)
    return Fail(Code::kResourceExhausted, "the host has no MSI-X vector for {}", device_->name());
  mode_ = Mode::kMsix;
  return Ok();
}

Status DeviceInterrupts::ConnectMsix(unsigned vector, int eventfd) {
  MutexLock lock(mutex_);
  if (mode_ != Mode::kMsix || vector >= msix_.count) return Ok();
  if (vector < msix_eventfds_.size() && msix_eventfds_[vector] == eventfd) return Ok();
  if (vector >= msix_eventfds_.size()) {
    if (eventfd < 0) return Ok();
    if (msix_.no_resize) return GrowMsix(vector, eventfd);
  }
  const int error = Set(VFIO_PCI_MSIX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, vector, 1, {&eventfd, 1});
  if (error < 0) return FailErrno(-error, "connect MSI-X vector {} of {}", vector, device_->name());
  if (vector >= msix_eventfds_.size()) msix_eventfds_.resize(vector + 1, -1);
  msix_eventfds_[vector] = eventfd;
  return Ok();
}

// The host cannot add vectors to those set up, so all are set up anew, with room for as many again: a guest
// that unmasks one after the other causes few such gaps. What a device raised during the gap is lost to it,
// so every connected vector is signalled once: one interrupt too many is harmless, one too few is not.
Status DeviceInterrupts::GrowMsix(unsigned vector, int eventfd) {
  std::vector<int> eventfds = msix_eventfds_;
  const size_t wanted = std::max<size_t>(vector + 1, 2 * eventfds.size());
  eventfds.resize(std::min<size_t>(wanted, msix_.count), -1);
  eventfds[vector] = eventfd;
  DisableLocked();
  int result;
  while ((result = Set(VFIO_PCI_MSIX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0,
                       static_cast<uint32_t>(eventfds.size()), eventfds)) > 0) {
    // The host has only so many: without spare ones, or not at all.
    const size_t possible = std::min<size_t>(result, eventfds.size() - 1);
    if (possible <= vector) break;
    eventfds.resize(possible);
  }
  if (result != 0) {
    // Back to what there was.
    const int restored = Set(VFIO_PCI_MSIX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0,
                             static_cast<uint32_t>(msix_eventfds_.size()), msix_eventfds_);
    if (restored == 0) mode_ = Mode::kMsix;
    if (result < 0) return FailErrno(-result, "set up {} MSI-X vectors of {}", vector + 1, device_->name());
    return Fail(Code::kResourceExhausted, "the host has {} MSI-X vectors for {}, which uses {}", result,
                device_->name(), vector + 1);
  }
  mode_ = Mode::kMsix;
  msix_eventfds_ = std::move(eventfds);
  for (const int connected : msix_eventfds_) {
    if (connected >= 0) SignalEventFd(connected);
  }
  return Ok();
}

void DeviceInterrupts::Disable() {
  MutexLock lock(mutex_);
  DisableLocked();
  msix_eventfds_.clear();
}

void DeviceInterrupts::DisableLocked() {
  if (mode_ == Mode::kNone) return;
  const int error = Set(IndexOf(mode_), VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, {});
  if (error < 0) {
    LOG_WARNING_LIMITED("{}", SystemError(-error, "disable interrupts of " + device_->name()).message());
  }
  mode_ = Mode::kNone;
}

Status DeviceInterrupts::ConnectSingle(uint32_t index, int eventfd, std::string_view what) {
  const InterruptInfo info = TRY(device_->Interrupts(index));
  if (info.count == 0) return Fail(Code::kUnimplemented, "{} reports no {}", device_->name(), what);
  const int error = Set(index, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 1, {&eventfd, 1});
  if (error == -ENOTTY) return Fail(Code::kUnimplemented, "{} reports no {}", device_->name(), what);
  if (error < 0) return FailErrno(-error, "have {} reported of {}", what, device_->name());
  return Ok();
}

Status DeviceInterrupts::ConnectError(int eventfd) {
  return ConnectSingle(VFIO_PCI_ERR_IRQ_INDEX, eventfd, "errors");
}
Status DeviceInterrupts::ConnectRequest(int eventfd) {
  return ConnectSingle(VFIO_PCI_REQ_IRQ_INDEX, eventfd, "requests");
}

}  // namespace berth::vfio

// A VFIO device's interrupts: VFIO_DEVICE_SET_IRQS. INTx, MSI and MSI-X exclude each other; error and request
// are apart.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "vfio/device.h"

namespace berth::vfio {

// Eventfds are borrowed: the kernel holds its own reference while they are connected. Any thread.
class DeviceInterrupts {
 public:
  enum class Mode { kNone, kIntx, kMsi, kMsix };

  // Reads what the device has. `device` outlives this.
  static Result<std::unique_ptr<DeviceInterrupts>> Create(const Device* device);
  ~DeviceInterrupts() { Disable(); }

  const InterruptInfo& intx() const { return intx_; }
  const InterruptInfo& msi() const { return msi_; }
  const InterruptInfo& msix() const { return msix_; }
  Mode mode() const;

  // Each Enable leaves the mode before first. A failure leaves kNone.
  Status EnableIntx(int trigger_eventfd);
  // Lets signals of `resample_eventfd` unmask the line in the kernel. UNIMPLEMENTED where the driver cannot:
  // then call UnmaskIntx at each.
  Status ConnectIntxUnmask(int resample_eventfd);
  Status UnmaskIntx();

  // One eventfd a vector. Takes as many as the host has to give, at least one: the number is returned.
  Result<unsigned> EnableMsi(std::span<const int> eventfds);

  // Turns MSI-X on with no vector; ConnectMsix then adds them one by one, and leaves those before undisturbed
  // where the host can add vectors (not InterruptInfo::no_resize). `first_eventfd` is vector 0's, for drivers
  // that turn on only with one.
  Status EnableMsix(int first_eventfd);
  // Connects a vector, or disconnects it with -1. Ignored unless MSI-X is on.
  Status ConnectMsix(unsigned vector, int eventfd);

  void Disable();

  // Signalled at an unrecoverable error, and when the host wants the device back. UNIMPLEMENTED where there
  // is none.
  Status ConnectError(int eventfd);
  Status ConnectRequest(int eventfd);

 private:
  explicit DeviceInterrupts(const Device* device) : device_(device) {}
  // The ioctl; its errno. `eventfds` empty: no data.
  int Set(uint32_t index, uint32_t action, uint32_t start, uint32_t count, std::span<const int> eventfds);
  Status ConnectSingle(uint32_t index, int eventfd, std::string_view what);
  void DisableLocked() REQUIRES(mutex_);
  Status GrowMsix(unsigned vector, int eventfd) REQUIRES(mutex_);

  const Device* const device_;
  InterruptInfo intx_, msi_, msix_;
  mutable Mutex mutex_;
  Mode mode_ GUARDED_BY(mutex_) = Mode::kNone;
  std::vector<int> msix_eventfds_
      GUARDED_BY(mutex_);  // As many as the host has set up; -1 where none is connected.
};

}  // namespace berth::vfio

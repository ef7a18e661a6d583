// An assigned device as a PCI function of the guest: a whole function, a VF or a mediated device, all by the
// same code. What each part does is in its file: function_config.h (registers), bar_plan.h and function_bar.h
// (BARs), function_interrupts.h, function_reset.h, rom_image.h.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "hw/pci/bars.h"
#include "hw/pci/function.h"
#include "vfio/display.h"
#include "vfio/edid.h"
#include "vfio/function_bar.h"
#include "vfio/function_config.h"
#include "vfio/function_interrupts.h"
#include "vfio/function_reset.h"
#include "vfio/rom_image.h"

namespace berth::vfio {

// Told what a guest cannot see to. On the function's loop, or in the thread that resets the function.
class FunctionObserver {
 public:
  virtual ~FunctionObserver() = default;
  // The device had an error it does not recover from, or is gone: the guest should not go on with it.
  virtual void DeviceFailed(const std::string& name, const std::string& why) = 0;
  // Somebody on the host waits for the device. Repeated by the kernel until it is given back.
  virtual void DeviceRequested(const std::string& name) = 0;
};

struct VfioFunctionOptions {
  std::string name;  // What messages call it.
  std::shared_ptr<Group> group;
  std::string device_name;                // In the group: see Group::OpenDevice.
  EventLoop* loop = nullptr;              // Outlives the function; it must never wait for a vCPU.
  FunctionObserver* observer = nullptr;   // Outlives the function; may be nullptr.
  ResetNeighbours* neighbours = nullptr;  // The same.
  bool skip_reset = false;                // For devices that a reset kills.
  bool relocate_msix = false;  // Where registers that are in heavy use share the MSI-X structures' pages.
  bool show_rom = true;
  std::optional<MonitorSize> monitor;  // See monitor.h.
  PciIdentity identity;
  std::optional<unsigned> gpudirect_clique;  // See clique_capability.h.
  std::vector<uint8_t> rom;                  // Shown in place of the device's own, where not empty.
};

class VfioPciFunction final : public hw::PciFunction {
 public:
  struct Counters {
    uint64_t trapped_reads = 0, trapped_writes = 0;  // Of BARs.
    uint64_t failed_accesses = 0;  // Of BARs and the configuration space, that the host refused.
    uint64_t config_reads = 0, config_writes = 0;  // By the guest.
    uint64_t resets = 0;
  };

  ~VfioPciFunction() override;

  const std::string& name() const override { return options_.name; }
  uint32_t ReadConfig(uint16_t offset, unsigned size) override;
  void WriteConfig(uint16_t offset, unsigned size, uint32_t value) override;
  void Reset() override;
  std::span<const hw::BarRequest> bars() const override { return bars_.requests(); }
  Status Attach(hw::PciSlot* slot) override;
  void Detach() override;

  Counters counters() const;
  // As vfio::CaptureDisplay. Any thread.
  Result<Picture> CaptureDisplay(int out, uint64_t limit_bytes) const {
    return vfio::CaptureDisplay(*device_, out, limit_bytes);
  }

 private:
  friend Result<std::unique_ptr<VfioPciFunction>> CreateVfioPciFunction(VfioFunctionOptions options);
  VfioPciFunction(VfioFunctionOptions options, std::unique_ptr<Device> device, RegionInfo config);

  // Creation.
  Status ReadDevice();
  Status CreateBars();
  Status WatchErrorsAndRequests();
  Status Watch(const UniqueFd& eventfd, std::function<void()> callback);
  // Guest's accesses.
  void WriteCommand(uint16_t offset, unsigned size, uint32_t value);
  void WritePower(uint16_t offset, unsigned size, uint32_t value);
  void ForwardWrite(uint16_t offset, unsigned size, uint32_t value);
  bool AsksForReset(uint16_t offset, unsigned size, uint32_t value) const;
  // Maps and unmaps BARs as this value of the command register, and the power state, allow.
  void Decode(uint16_t command_register);
  uint16_t command() const;
  void ResetHardware();
  // Whether the guest sees the device's memory, or all its accesses trap. On the loop.
  void SetMapped(bool mapped);

  const VfioFunctionOptions options_;
  const std::unique_ptr<Device> device_;
  DeviceRegion config_region_;
  std::vector<uint8_t> config_;  // The hardware's, as it was at the start.
  FunctionPlan plan_;
  std::optional<hw::Msi::Shape> msi_shape_;
  std::vector<std::unique_ptr<FunctionBar>> function_bars_;
  std::unique_ptr<RomImage> rom_;
  hw::Bars bars_;

  hw::PciSlot* slot_ = nullptr;
  ConfigOverlay overlay_;
  ConfigLayout layout_;
  std::unique_ptr<FunctionInterrupts> interrupts_;
  UniqueFd error_, request_;
  bool awake_ = true;                    // In D0.
  std::atomic<bool> untouched_ = false;  // Since its last reset.
  std::atomic<uint64_t> config_reads_{0}, config_writes_{0}, resets_{0};
};

// Opens the device and reads what it is. Its BARs are known then; the rest is done when it is attached.
// Errors besides Group::OpenDevice's: UNIMPLEMENTED for what is no PCI endpoint, FAILED_PRECONDITION with
// reason BAR_UNASSIGNED AddCliqueCapability's or ConnectMonitor's, INTERNAL with reason DEVICE_LOST for a
// device that does not answer.
Result<std::unique_ptr<VfioPciFunction>> CreateVfioPciFunction(VfioFunctionOptions options);

}  // namespace berth::vfio

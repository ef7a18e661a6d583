#include "vfio/function_reset.h"

#include "base/log.h"
#include "hw/pci/pci_registers.h"
#include "vfio/trace.h"

namespace berth::vfio {
namespace {

namespace pci = hw::pci;
constexpr uint16_t kPowerControl = 4;
constexpr uint16_t kPowerStateMask = 3;
// PCI Express Base 5.0, 6.6.1 and 6.6.2: 100 ms after a reset, up to a second for those that ask for more
// time.
constexpr int kReturnTries = 10;
constexpr std::chrono::milliseconds kReturnPause{100};

void WakeAndQuieten(DeviceRegion* config, const ResetMeans& means) {
  if (means.power_capability) {
    const uint16_t at = *means.power_capability + kPowerControl;
    const auto control = static_cast<uint16_t>(config->Read(at, 2));
    if ((control & kPowerStateMask) != 0) config->Write(at, 2, control & ~kPowerStateMask);
  }
  const auto command = static_cast<uint16_t>(config->Read(pci::kCommand, 2));
  constexpr uint16_t kOff =
      pci::kCommandIo | pci::kCommandMemory | pci::kCommandMaster | pci::kCommandIntxDisable;
  config->Write(pci::kCommand, 2, command & ~kOff);
}

// Others on the bus are reset with it, under whoever uses them. Sets the groups that it takes.
ResetNeighbours::Verdict MayResetBus(const Device& device, const ResetNeighbours* neighbours,
                                     std::vector<int>* groups) {
  const auto dependents = device.HotResetDependents();
  if (!dependents) return ResetNeighbours::Verdict::kAlone;
  if (dependents->size() > 1) {
    return neighbours == nullptr ? ResetNeighbours::Verdict::kAlone
                                 : neighbours->MayReset(device, *dependents, groups);
  }
  groups->push_back(device.group().fd());
  return ResetNeighbours::Verdict::kNow;
}

Result<std::string_view> TryResets(const Device& device, const ResetNeighbours* neighbours) {
  if (device.resettable()) {
    const Status reset = device.Reset();
    trace::vfio_reset(device.name(), "function", reset.has_value());
    if (reset) return "function";
    LOG_WARNING_LIMITED("{}", reset.error().message());
  }
  std::vector<int> groups;
  const ResetNeighbours::Verdict verdict = MayResetBus(device, neighbours, &groups);
  if (verdict == ResetNeighbours::Verdict::kLater) return "later";
  if (verdict == ResetNeighbours::Verdict::kNow) {
    const Status reset = device.HotReset(groups);
    trace::vfio_reset(device.name(), "bus", reset.has_value());
    if (reset) return "bus";
    LOG_WARNING_LIMITED("{}", reset.error().message());
  }
  return "none";
}

}  // namespace

bool IsThere(DeviceRegion* config) {
  return config->Read(pci::kVendorId, 4) != AllOnes(4) && config->Read(pci::kRevisionId, 4) != AllOnes(4);
}

Result<std::string_view> ResetDevice(const Device& device, DeviceRegion* config, const ResetMeans& means) {
  WakeAndQuieten(config, means);
  if (means.skip) return "none";
  const std::string_view how = TRY(TryResets(device, means.neighbours));
  for (int i = 0; !IsThere(config); ++i) {
    if (i == kReturnTries) {
      return Fail(Error(Code::kInternal, fmt::format("{} does not answer after its reset", device.name()))
                      .Reason("DEVICE_LOST"));
    }
    device.syscalls().Pause(kReturnPause);
  }
  return how;
}

}  // namespace berth::vfio

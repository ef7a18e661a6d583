#include "vfio/express_capability.h"

#include <algorithm>

#include "hw/pci/pci_registers.h"

namespace berth::vfio {
namespace {

namespace pci = hw::pci;
constexpr uint16_t kFlags = 0x02, kLinkCapabilities = 0x0c, kLinkControl = 0x10, kLinkStatus = 0x12,
                   kLinkCapabilities2 = 0x2c, kLinkControl2 = 0x30, kLinkStatus2 = 0x32;
constexpr uint16_t kVersionMask = 0x000f, kTypeMask = 0x00f0, kSize1 = 0x14, kSize2 = 0x3c;
// One lane at 2.5 GT/s: what every link can do.
constexpr uint32_t kWidth1 = 1 << 4, kSpeed2_5 = 1;

struct Express {
  std::span<const uint8_t> config;
  uint16_t offset;
  ConfigOverlay* overlay;
  bool version2 = false;

  template <typename T>
  void Show(uint16_t at, T value) {
    overlay->Emulate<T>(static_cast<uint16_t>(offset + at), static_cast<T>(~T{0}), value);
  }
  void ShowType(uint8_t type) {
    overlay->Emulate<uint16_t>(static_cast<uint16_t>(offset + kFlags), kTypeMask,
                               static_cast<uint16_t>(type << 4));
  }
  void ShowLink(uint32_t capabilities, uint16_t status) {
    Show<uint32_t>(kLinkCapabilities, capabilities);
    Show<uint16_t>(kLinkControl, 0);
    Show<uint16_t>(kLinkStatus, status);
    if (!version2) return;
    Show<uint32_t>(kLinkCapabilities2, capabilities != 0 ? kSpeed2_5 << 1 : 0);
    Show<uint16_t>(kLinkControl2, capabilities != 0 ? kSpeed2_5 : 0);
    Show<uint16_t>(kLinkStatus2, 0);
  }
};

}  // namespace

Result<ExpressVerdict> FitExpressCapability(std::span<const uint8_t> config, uint16_t offset,
                                            bool behind_root_port, ConfigOverlay* overlay) {
  const size_t end = std::min<size_t>(config.size(), 0x100);
  if (size_t{offset} + kSize1 > end) return ExpressVerdict::kHide;
  const auto flags = LoadLe<uint16_t>(&config[offset + kFlags]);
  const auto type = static_cast<uint8_t>((flags & kTypeMask) >> 4);
  const bool integrated = type == pci::kExpressIntegratedEndpoint;
  if (type != pci::kExpressEndpoint && type != pci::kExpressLegacyEndpoint && !integrated) {
    return Fail(Code::kUnimplemented, "it is no endpoint of PCI Express but a port or bridge (type {})",
                type);
  }
  Express express{config, offset, overlay};
  express.version2 = (flags & kVersionMask) >= 2 && size_t{offset} + kSize2 <= end;
  // There are VFs that say version 0, which software takes for none at all.
  if ((flags & kVersionMask) == 0) {
    overlay->Emulate<uint16_t>(static_cast<uint16_t>(offset + kFlags), kVersionMask, 1);
  }
  if (behind_root_port) {
    if (!integrated) return ExpressVerdict::kShow;
    express.ShowType(pci::kExpressEndpoint);
    express.ShowLink(kWidth1 | kSpeed2_5, kWidth1 | kSpeed2_5);
    return ExpressVerdict::kShow;
  }
  if (type == pci::kExpressLegacyEndpoint)
    return ExpressVerdict::kHide;  // There are no integrated ones of its kind.
  express.ShowType(pci::kExpressIntegratedEndpoint);
  express.ShowLink(0, 0);
  return ExpressVerdict::kShow;
}

}  // namespace berth::vfio

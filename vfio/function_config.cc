#include "vfio/function_config.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "hw/pci/pci_registers.h"
#include "vfio/clique_capability.h"
#include "vfio/express_capability.h"
#include "vfio/pci_capabilities.h"

namespace berth::vfio {
namespace {

namespace pci = hw::pci;
constexpr uint16_t kConventionalEnd = 0x100;
constexpr uint16_t kMsixControl = 2, kMsixTable = 4, kMsixPba = 8;
constexpr uint16_t kMsixWritable = 0xc000;  // Enable and function mask.
constexpr uint16_t kExpressDeviceCapabilities = 0x04;
constexpr uint32_t kExpressFlr = 1u << 28;
constexpr uint16_t kAdvancedFeaturesCapabilities = 3;
constexpr uint8_t kAdvancedFeaturesFlr = 1 << 1;

void EmulateHeader(const ConfigFacts& facts, ConfigOverlay* overlay) {
  // What the guest wrote is what it reads, even from devices that have their bits hard-wired. The hardware is
  // told too.
  constexpr uint16_t kOurs =
      pci::kCommandIo | pci::kCommandMemory | pci::kCommandMaster | pci::kCommandIntxDisable;
  overlay->Emulate<uint16_t>(pci::kCommand, kOurs, 0, kOurs);
  overlay->Emulate<uint8_t>(pci::kHeaderType, pci::kHeaderMultiFunction, 0);  // Its siblings are not there.
  overlay->Emulate<uint8_t>(pci::kInterruptLine, 0xff, 0, 0xff);
  overlay->Emulate<uint8_t>(pci::kInterruptPin, 0xff, facts.interrupt_pin);
}

void EmulateIdentity(const PciIdentity& identity, ConfigOverlay* overlay) {
  const std::pair<uint16_t, std::optional<uint16_t>> parts[] = {
      {pci::kVendorId, identity.vendor_id},
      {pci::kDeviceId, identity.device_id},
      {pci::kSubsystemVendorId, identity.subsystem_vendor_id},
      {pci::kSubsystemId, identity.subsystem_id}};
  for (const auto& [offset, id] : parts) {
    if (id) overlay->Emulate<uint16_t>(offset, 0xffff, *id);
  }
}

void EmulateMsix(uint16_t offset, const MsixPlan& msix, ConfigOverlay* overlay) {
  auto at = [offset](uint16_t reg) { return static_cast<uint16_t>(offset + reg); };
  overlay->Emulate<uint16_t>(at(kMsixControl), 0xffff, static_cast<uint16_t>(msix.vectors - 1),
                             kMsixWritable);
  overlay->Emulate<uint32_t>(at(kMsixTable), ~uint32_t{0}, msix.table_offset | msix.table_bar);
  overlay->Emulate<uint32_t>(at(kMsixPba), ~uint32_t{0}, msix.pba_offset | msix.pba_bar);
}

}  // namespace

std::optional<hw::Msi::Shape> ReadMsi(std::span<const uint8_t> config, uint16_t offset,
                                      uint32_t vfio_vectors) {
  if (vfio_vectors == 0 || offset + 4u > config.size()) return std::nullopt;
  const auto control = LoadLe<uint16_t>(&config[offset + 2]);
  const unsigned in_hardware = 1u << std::min((control >> 1) & 7, 5);
  const hw::Msi::Shape shape{.vectors = std::min(in_hardware, std::bit_floor(vfio_vectors)),
                             .is_64bit = (control & (1 << 7)) != 0,
                             .maskable = (control & (1 << 8)) != 0};
  if (offset + shape.size() > std::min<size_t>(config.size(), kConventionalEnd)) return std::nullopt;
  return shape;
}

Result<ConfigLayout> BuildConfig(std::span<const uint8_t> config, const ConfigFacts& facts,
                                 ConfigOverlay* overlay) {
  CHECK(config.size() >= 0x40);
  if ((config[pci::kHeaderType] & ~pci::kHeaderMultiFunction) != 0) {
    return Fail(Code::kUnimplemented, "it is a bridge (header type {})", config[pci::kHeaderType] & 0x7f);
  }
  EmulateHeader(facts, overlay);
  EmulateIdentity(facts.identity, overlay);

  ConfigLayout layout;
  std::vector<Capability> visible;
  const std::vector<Capability> present = FindCapabilities(config);
  for (const Capability& capability : present) {
    const uint16_t at = capability.offset;
    if (at + MinimumSize(capability.id) > std::min<size_t>(config.size(), kConventionalEnd)) continue;
    switch (capability.id) {
      case pci::kCapMsi:
        if (!facts.has_msi || layout.msi) continue;
        layout.msi = at;
        break;
      case pci::kCapMsix:
        if (!facts.msix || layout.msix) continue;
        layout.msix = at;
        EmulateMsix(at, *facts.msix, overlay);
        break;
      case pci::kCapExpress:
        if (layout.express) continue;
        if (TRY(FitExpressCapability(config, at, facts.behind_root_port, overlay)) == ExpressVerdict::kHide)
          continue;
        layout.express = at;
        layout.express_reset = LoadLe<uint32_t>(&config[at + kExpressDeviceCapabilities]) & kExpressFlr;
        break;
      case pci::kCapPowerManagement:
        if (!layout.power) layout.power = at;
        break;
      case pci::kCapAdvancedFeatures:
        if (layout.advanced_features) continue;
        layout.advanced_features = at;
        layout.advanced_features_reset = config[at + kAdvancedFeaturesCapabilities] & kAdvancedFeaturesFlr;
        break;
    }
    visible.push_back(capability);
  }
  if (facts.gpudirect_clique) {
    visible.push_back(TRY(AddCliqueCapability(config, present, *facts.gpudirect_clique, overlay)));
  }
  LinkCapabilities(visible, overlay);

  std::vector<Capability> extended = FindExtendedCapabilities(config);
  std::erase_if(extended, [](const Capability& capability) { return IsHiddenExtended(capability.id); });
  LinkExtendedCapabilities(extended, config, overlay);
  return layout;
}

}  // namespace berth::vfio

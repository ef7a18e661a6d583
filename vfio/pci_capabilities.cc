#include "vfio/pci_capabilities.h"

#include <algorithm>
#include <bitset>

#include "base/bytes.h"
#include "hw/pci/pci_registers.h"

namespace berth::vfio {
namespace {

namespace pci = hw::pci;
constexpr uint16_t kExtendedStart = 0x100, kConventionalEnd = 0x100, kHeaderEnd = 0x40;
constexpr uint16_t kExtCapMultiRootIov = 0x11, kExtCapVfResizableBar = 0x24;
constexpr uint32_t kNullCapability = 1u << 16;  // Id 0, version 1.

}  // namespace

std::vector<Capability> FindCapabilities(std::span<const uint8_t> config) {
  std::vector<Capability> found;
  if (config.size() < kHeaderEnd) return found;
  if (!(LoadLe<uint16_t>(&config[pci::kStatus]) & pci::kStatusCapabilities)) return found;
  const size_t end = std::min<size_t>(config.size(), kConventionalEnd);
  std::bitset<kConventionalEnd> seen;
  // The low two bits of a link are reserved.
  for (uint16_t at = config[pci::kCapabilityPointer] & 0xfc;
       at >= kHeaderEnd && at + 2u <= end && !seen[at];) {
    seen[at] = true;
    if (config[at] == 0xff) break;
    found.push_back({config[at], at});
    at = config[at + 1u] & 0xfc;
  }
  return found;
}

std::vector<Capability> FindExtendedCapabilities(std::span<const uint8_t> config) {
  std::vector<Capability> found;
  std::bitset<4096> seen;
  for (uint16_t at = kExtendedStart; at >= kExtendedStart && at + 4u <= config.size() && !seen[at];) {
    seen[at] = true;
    const auto header = LoadLe<uint32_t>(&config[at]);
    if (header == 0 || header == ~uint32_t{0}) break;
    const auto id = static_cast<uint16_t>(header);
    if (id != 0) found.push_back({id, at});
    at = (header >> 20) & 0xffc;
  }
  return found;
}

std::optional<uint16_t> OffsetOf(std::span<const Capability> capabilities, uint16_t id) {
  const auto found = std::find_if(capabilities.begin(), capabilities.end(),
                                  [id](const Capability& capability) { return capability.id == id; });
  if (found == capabilities.end()) return std::nullopt;
  return found->offset;
}

unsigned MinimumSize(uint16_t id) {
  switch (id) {
    case pci::kCapPowerManagement:
      return 8;
    case pci::kCapMsix:
      return 12;
    case pci::kCapAdvancedFeatures:
      return 6;
    case pci::kCapExpress:
      return 0x14;
  }
  return 2;
}

void LinkCapabilities(std::span<const Capability> visible, ConfigOverlay* overlay) {
  overlay->Emulate<uint16_t>(pci::kStatus, pci::kStatusCapabilities,
                             visible.empty() ? 0 : pci::kStatusCapabilities);
  uint16_t link = pci::kCapabilityPointer;
  for (const Capability& capability : visible) {
    overlay->Emulate<uint8_t>(link, 0xff, static_cast<uint8_t>(capability.offset));
    overlay->Emulate<uint8_t>(capability.offset, 0xff, static_cast<uint8_t>(capability.id));
    link = capability.offset + 1;
  }
  overlay->Emulate<uint8_t>(link, 0xff, 0);
}

void LinkExtendedCapabilities(std::span<const Capability> visible, std::span<const uint8_t> config,
                              ConfigOverlay* overlay) {
  if (config.size() < kExtendedStart + 4u) return;
  auto link_from = [&](size_t index) { return index < visible.size() ? visible[index].offset : uint16_t{0}; };
  if (visible.empty() || visible[0].offset != kExtendedStart) {
    const uint32_t next = link_from(0);
    overlay->Emulate<uint32_t>(kExtendedStart, ~uint32_t{0}, next == 0 ? 0 : kNullCapability | next << 20);
  }
  for (size_t i = 0; i < visible.size(); ++i) {
    const auto header = LoadLe<uint32_t>(&config[visible[i].offset]);
    const uint32_t linked = (header & 0xfffff) | uint32_t{link_from(i + 1)} << 20;
    overlay->Emulate<uint32_t>(visible[i].offset, ~uint32_t{0}, linked);
  }
}

bool IsHiddenExtended(uint16_t id) {
  switch (id) {
    case pci::kExtCapSriov:  // Its VFs would be the guest's to create, in the host.
    case kExtCapMultiRootIov:
    case pci::kExtCapAri:           // Names a next function that is not there.
    case pci::kExtCapResizableBar:  // The BARs' sizes are the host's.
    case kExtCapVfResizableBar:
      return true;
  }
  return false;
}

}  // namespace berth::vfio

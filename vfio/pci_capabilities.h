// The chains of capabilities in a configuration space: found, and linked anew without those a guest is not to
// see. PCI Local Bus 3.0, 6.7; PCI Express Base 5.0, 7.6.3. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "vfio/config_overlay.h"

namespace berth::vfio {

struct Capability {
  uint16_t id = 0;
  uint16_t offset = 0;
  friend bool operator==(const Capability&, const Capability&) = default;
};

// In the order of their chain. `config` may be of any size and say anything: a chain that loops, leaves the
// space, or comes to something absent ends there.
std::vector<Capability> FindCapabilities(std::span<const uint8_t> config);
std::vector<Capability> FindExtendedCapabilities(std::span<const uint8_t> config);

// The first with this id.
std::optional<uint16_t> OffsetOf(std::span<const Capability> capabilities, uint16_t id);

// The bytes that a capability has at least, where we act upon it; those of its header for others.
unsigned MinimumSize(uint16_t id);

// Makes `overlay` say that exactly these are there, in this order.
void LinkCapabilities(std::span<const Capability> visible, ConfigOverlay* overlay);
// The same for extended ones. Where the chain's start is hidden, a null capability
// (7.9.28) takes its place.
void LinkExtendedCapabilities(std::span<const Capability> visible, std::span<const uint8_t> config,
                              ConfigOverlay* overlay);

// Extended capabilities that no guest gets: what they control belongs to the host or to functions that the
// guest does not have.
bool IsHiddenExtended(uint16_t id);

}  // namespace berth::vfio

#include "hw/pci/config_space.h"

#include <algorithm>

#include "base/error.h"

namespace berth::hw {
namespace {

constexpr uint16_t kCapabilitiesEnd = 0x100;

// Accesses that a bus can make: within one aligned dword.
bool IsLegal(uint16_t offset, unsigned size) {
  return size >= 1 && size <= 4 && (offset % 4) + size <= 4 && offset + size <= ConfigSpace::kSize;
}

}  // namespace

ConfigSpace::ConfigSpace(const PciIdentity& identity, uint8_t header_type) {
  Set<uint16_t>(pci::kVendorId, identity.vendor_id);
  Set<uint16_t>(pci::kDeviceId, identity.device_id);
  Set<uint8_t>(pci::kRevisionId, identity.revision_id);
  Set<uint8_t>(pci::kClassCode, static_cast<uint8_t>(identity.class_code));
  Set<uint16_t>(pci::kClassCode + 1, static_cast<uint16_t>(identity.class_code >> 8));
  Set<uint8_t>(pci::kHeaderType, header_type);
  // A bridge has its windows where an endpoint names its subsystem.
  if ((header_type & ~pci::kHeaderMultiFunction) == 0) {
    Set<uint16_t>(pci::kSubsystemVendorId, identity.subsystem_vendor_id);
    Set<uint16_t>(pci::kSubsystemId, identity.subsystem_id);
  }
  SetWritable<uint16_t>(pci::kCommand, pci::kCommandIo | pci::kCommandMemory | pci::kCommandMaster |
                                           pci::kCommandParity | pci::kCommandSerr |
                                           pci::kCommandIntxDisable);
  // Parity and abort errors (6.2.3): never set by an emulated function, cleared by software all the same.
  SetWriteOneToClear<uint16_t>(pci::kStatus, 0xf900);
  SetWritable<uint8_t>(pci::kCacheLineSize, 0xff);
  SetWritable<uint8_t>(pci::kInterruptLine, 0xff);
}

uint32_t ConfigSpace::Read(uint16_t offset, unsigned size) const {
  if (!IsLegal(offset, size)) return static_cast<uint32_t>(AllOnes(size));
  uint32_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= uint32_t{bytes_[offset + i]} << (8 * i);
  return value;
}

void ConfigSpace::Write(uint16_t offset, unsigned size, uint32_t value) {
  if (!IsLegal(offset, size)) return;
  for (unsigned i = 0; i < size; ++i) {
    const auto written = static_cast<uint8_t>(value >> (8 * i));
    uint8_t& byte = bytes_[offset + i];
    const uint8_t writable = writable_[offset + i];
    byte = static_cast<uint8_t>((byte & ~writable) | (written & writable));
    byte &= static_cast<uint8_t>(~(written & write_one_to_clear_[offset + i]));
  }
}

void ConfigSpace::ClearWritable() {
  for (unsigned i = 0; i < kSize; ++i) {
    bytes_[i] &= static_cast<uint8_t>(~(writable_[i] | write_one_to_clear_[i]));
  }
}

uint16_t ConfigSpace::AddCapability(uint8_t id, std::span<const uint8_t> body) {
  const uint16_t offset = next_capability_;
  CHECK(offset + 2 + body.size() <= kCapabilitiesEnd);
  Set<uint8_t>(offset, id);
  std::copy(body.begin(), body.end(), bytes_.begin() + offset + 2);
  const uint16_t link = last_capability_ == 0 ? pci::kCapabilityPointer : last_capability_ + 1;
  Set<uint8_t>(link, static_cast<uint8_t>(offset));
  Set<uint16_t>(pci::kStatus, Get<uint16_t>(pci::kStatus) | pci::kStatusCapabilities);
  last_capability_ = offset;
  next_capability_ = static_cast<uint16_t>(AlignUp(offset + 2 + body.size(), 4));
  return offset;
}

uint16_t ConfigSpace::AddExtendedCapability(uint16_t id, uint8_t version, std::span<const uint8_t> body) {
  const uint16_t offset = next_extended_;
  CHECK(offset + 4 + body.size() <= kSize && version < 16);
  Set<uint32_t>(offset, uint32_t{id} | uint32_t{version} << 16);
  std::copy(body.begin(), body.end(), bytes_.begin() + offset + 4);
  if (last_extended_ != 0) {
    Set<uint32_t>(last_extended_, Get<uint32_t>(last_extended_) | uint32_t{offset} << 20);
  }
  last_extended_ = offset;
  next_extended_ = static_cast<uint16_t>(AlignUp(offset + 4 + body.size(), 4));
  return offset;
}

}  // namespace berth::hw

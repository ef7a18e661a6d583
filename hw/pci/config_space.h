// The 4 KiB of configuration registers of an emulated function: values, which bits the guest may write, and
// the chains of capabilities. PCI Local Bus 3.0 chapter 6, PCI Express Base 5.0 chapter 7.
//
// One user at a time (the host bridge serialises configuration accesses).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hw/pci/pci_registers.h"

namespace berth::hw {

struct PciIdentity {
  uint16_t vendor_id = 0xffff;
  uint16_t device_id = 0xffff;
  uint16_t subsystem_vendor_id = 0;
  uint16_t subsystem_id = 0;
  uint32_t class_code = 0;  // 24 bits: base class, sub-class, interface.
  uint8_t revision_id = 0;
};

class ConfigSpace {
 public:
  static constexpr uint16_t kSize = 4096;

  // A type 0 header (an endpoint) or type 1 (a bridge) with the command register's usual bits writable.
  explicit ConfigSpace(const PciIdentity& identity, uint8_t header_type = 0);

  // `offset` + `size` lies within one aligned dword, as accesses through ECAM and 0xcf8 do. Whatever else
  // reads as ones and is not written.
  uint32_t Read(uint16_t offset, unsigned size) const;
  void Write(uint16_t offset, unsigned size, uint32_t value);  // As the guest does: honours the write masks.

  // As the device does: ignores the masks.
  template <typename T>
  T Get(uint16_t offset) const {
    return LoadLe<T>(&bytes_[offset]);
  }
  template <typename T>
  void Set(uint16_t offset, T value) {
    StoreLe<T>(&bytes_[offset], value);
  }
  // The bits of the register at `offset` that the guest may write, and those that a written 1 clears (RW1C).
  template <typename T>
  void SetWritable(uint16_t offset, T mask) {
    StoreLe<T>(&writable_[offset], mask);
  }
  template <typename T>
  void SetWriteOneToClear(uint16_t offset, T mask) {
    StoreLe<T>(&write_one_to_clear_[offset], mask);
  }

  // Clears every bit that the guest can change: the state after a reset, where that is 0.
  void ClearWritable();

  // Appends a capability to the chain at 0x34 and returns its offset; `body` follows the two bytes of id and
  // link. Capabilities are laid out upwards from 0x40, dword-aligned. The space below 0x100 holds what our
  // devices have: running out of it is a bug.
  uint16_t AddCapability(uint8_t id, std::span<const uint8_t> body);
  // The same for extended capabilities, from 0x100; `body` follows the four-byte header.
  uint16_t AddExtendedCapability(uint16_t id, uint8_t version, std::span<const uint8_t> body);

  uint16_t command() const { return Get<uint16_t>(pci::kCommand); }

 private:
  std::array<uint8_t, kSize> bytes_{};
  std::array<uint8_t, kSize> writable_{};
  std::array<uint8_t, kSize> write_one_to_clear_{};
  uint16_t next_capability_ = 0x40;
  uint16_t last_capability_ = 0;
  uint16_t next_extended_ = 0x100;
  uint16_t last_extended_ = 0;
};

}  // namespace berth::hw

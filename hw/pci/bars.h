// Base address registers: sizing, moving, and being visible only while decoding is on. PCI Local
// Bus 3.0, 6.2.5.
//
// The same code serves emulated and assigned functions. One user at a time.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "hw/pci/function.h"

namespace berth::hw {

class Bars {
 public:
  static constexpr unsigned kRomIndex = 6;
  static constexpr unsigned kCount = 7;

  // `region` (borrowed, of at least request.size bytes) is what the guest sees in this BAR.
  void Define(const BarRequest& request, Region* region);

  // Where regions go; from PciFunction::Attach.
  void Attach(PciSlot* slot) { slot_ = slot; }

  // Whether the dword at this offset is one of the BARs (0x10 to 0x24, 0x30).
  static bool Holds(uint16_t offset) {
    return (offset >= 0x10 && offset < 0x28) || (offset >= 0x30 && offset < 0x34);
  }
  uint32_t ReadConfig(uint16_t offset, unsigned size) const;
  // Stores address bits only. Call Update afterwards.
  void WriteConfig(uint16_t offset, unsigned size, uint32_t value);

  // Maps what `decode_memory` and `decode_io` allow (the command register's bits, and D0), unmaps the rest.
  // What moves is unmapped first, in one transaction. A BAR stays unmapped while it is at 0, holds the all
  // ones that ask for its size, or does not fit into the container it goes to.
  void Update(bool decode_memory, bool decode_io);
  void Reset();  // All addresses 0, nothing mapped.

  std::span<const BarRequest> requests() const { return requests_; }
  uint64_t address(unsigned index) const;
  bool mapped(unsigned index) const { return bars_[index].mapped; }

 private:
  struct Bar {
    BarRequest request;
    Region* region = nullptr;
    uint64_t value = 0;   // Address bits as written (for the ROM, bit 0 is its enable bit).
    bool sizing[2] = {};  // All ones were written last, to the low and to the high dword.
    bool mapped = false;
    uint64_t mapped_at = 0;
  };
  // The BAR that the dword at `offset` belongs to, and whether the dword is its upper half.
  struct Place {
    unsigned index = 0;
    bool high = false;
  };
  Place PlaceOf(uint16_t offset) const;
  uint32_t ReadDword(uint16_t offset) const;
  Region& Container(const Bar& bar) const;
  std::optional<uint64_t> WantedAddress(const Bar& bar, unsigned index, bool decode_memory,
                                        bool decode_io) const;

  PciSlot* slot_ = nullptr;
  std::array<Bar, kCount> bars_{};
  std::vector<BarRequest> requests_;
};

}  // namespace berth::hw

// The address of a PCI function: domain, bus, device, function.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::host {

struct PciAddress {
  uint32_t domain = 0;  // 32 bits: hosts with VMD or many root complexes go past 0xffff.
  uint8_t bus = 0;
  uint8_t device = 0;    // 0 to 31
  uint8_t function = 0;  // 0 to 7

  // "0000:08:00.0", a domain of four to eight digits, or "08:00.0" for domain 0. INVALID_ARGUMENT for
  // anything else.
  static Result<PciAddress> Parse(std::string_view text);
  // As sysfs spells it: the domain has at least four digits.
  std::string ToString() const;

  friend auto operator<=>(const PciAddress&, const PciAddress&) = default;
};

}  // namespace berth::host

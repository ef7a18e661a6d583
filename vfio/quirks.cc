#include "vfio/quirks.h"

namespace berth::vfio {
namespace {

struct Entry {
  uint16_t vendor_id;
  uint16_t device_id;
  Quirks quirks;
};

constexpr Entry kTable[] = {
    // Broadcom NetXtreme II BCM57810: reads of the ROM BAR do not complete.
    {0x14e4, 0x168e, {.no_rom = true}},
};

}  // namespace

Quirks QuirksOf(uint16_t vendor_id, uint16_t device_id) {
  for (const Entry& entry : kTable) {
    if (entry.vendor_id == vendor_id && entry.device_id == device_id) return entry.quirks;
  }
  return {};
}

}  // namespace berth::vfio

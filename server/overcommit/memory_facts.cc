#include "server/overcommit/memory_facts.h"

#include "base/error.h"

namespace berth::server {

std::string ToLine(const MemoryFacts& facts) {
  const host::Stall some = facts.pressure ? facts.pressure->some : host::Stall{};
  std::string line = fmt::format("{:.3f} {} {} {} {} {}", facts.seconds, facts.total_bytes,
                                 facts.available_bytes, facts.swap_free_bytes, some.percent, some.total_us);
  for (const GuestMemoryFacts& guest : facts.guests) {
    line += fmt::format(" | {} {} {} {} {} {} ", guest.guest, guest.memory_bytes, guest.reserved_bytes,
                        guest.resident_bytes, guest.swapped_bytes, guest.refaulted_pages);
    line += guest.balloon ? fmt::format("{} {} {}", guest.balloon->target_bytes, guest.balloon->actual_bytes,
                                        guest.balloon->available_bytes)
                          : "- - -";
  }
  return line;
}

}  // namespace berth::server

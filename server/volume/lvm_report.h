// What `lvs` prints of a volume group.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::server {

// lvs(8).
struct LogicalVolume {
  std::string name;
  std::string attributes;  // "Vwi-a-tz--": lvs(8), "Attributes".
  std::string pool;        // That it is in; empty if in none.
  uint64_t size_bytes = 0;
  // 0 for what is not active, or is no thin volume or pool.
  double data_percent = 0, metadata_percent = 0;
  int64_t created_seconds = 0;  // Since the epoch.

  bool IsThin() const { return attributes.starts_with('V'); }
  bool IsThinPool() const { return attributes.starts_with('t'); }
  // New blocks are zeroed before they are used.
  bool Zeroes() const { return attributes.size() > 7 && attributes[7] == 'z'; }
  // '-' if nothing is wrong with it.
  char health() const { return attributes.size() > 8 ? attributes[8] : '-'; }
  uint64_t allocated_bytes() const {
    return static_cast<uint64_t>(static_cast<double>(size_bytes) * data_percent / 100);
  }
};

// The words that make lvs print what ParseLvmReport reads.
std::vector<std::string> LvmReportCommand(const std::string& volume_group);

// INTERNAL, LVM_REPORT_MALFORMED.
Result<std::vector<LogicalVolume>> ParseLvmReport(std::string_view text);

}  // namespace berth::server

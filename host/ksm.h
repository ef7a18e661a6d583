// Kernel samepage merging: /sys/kernel/mm/ksm, Documentation/admin-guide/mm/ksm.rst.
#pragma once

#include <cstdint>
#include <optional>

#include "host/roots.h"

namespace berth::host {

struct KsmSettings {
  int run = 0;  // 0: stopped, what is merged stays so; 1: running; 2: stopped, all taken apart.
  int pages_to_scan = 100;
  int sleep_ms = 20;
  bool merge_across_nodes = true;  // Changed only while nothing is merged.

  friend bool operator==(const KsmSettings&, const KsmSettings&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("run", self.run);
    visit("pages_to_scan", self.pages_to_scan);
    visit("sleep_ms", self.sleep_ms);
    visit("merge_across_nodes", self.merge_across_nodes);
  }
};

struct KsmState {
  KsmSettings settings;
  uint64_t pages_shared = 0;   // Pages that stand for several…
  uint64_t pages_sharing = 0;  // …and for how many besides: what is saved.
  uint64_t full_scans = 0;
};

// None where the kernel cannot merge.
std::optional<KsmState> ReadKsm(const HostRoots& roots);

}  // namespace berth::host

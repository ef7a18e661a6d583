#include "server/overcommit/ksm_law.h"

#include <algorithm>

namespace berth::server {
namespace {

constexpr int kMore = 300, kLess = 50, kSleepMs = 20;
constexpr uint64_t kFindsPart = 100;  // Finding more than this part of what was found is worth going on.

}  // namespace

host::KsmSettings NextKsm(const host::KsmState& now, uint64_t saved_before, bool wanted, int nodes) {
  host::KsmSettings next = now.settings;
  const bool running = now.settings.run == 1;
  if (!wanted && !running) return next;
  next.sleep_ms = kSleepMs;
  if (wanted && !running) {
    next.run = 1;
    next.pages_to_scan = kLeastPagesToScan + kMore;
    if (nodes > 1 && now.pages_shared == 0) next.merge_across_nodes = false;
    return next;
  }
  const bool finds = now.pages_sharing > saved_before + saved_before / kFindsPart;
  const int change = wanted && finds ? kMore : -kLess;
  if (!wanted && now.settings.pages_to_scan + change < kLeastPagesToScan) next.run = 0;
  next.pages_to_scan = std::clamp(now.settings.pages_to_scan + change, kLeastPagesToScan, kMostPagesToScan);
  return next;
}

}  // namespace berth::server

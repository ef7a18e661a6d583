// How hard the kernel looks for equal pages. Pure.
#pragma once

#include <cstdint>

#include "server/overcommit/memory_facts.h"

namespace berth::server {

inline constexpr int kLeastPagesToScan = 64, kMostPagesToScan = 1250;

// The settings for now. `wanted`: the host is short, and some guest's memory may be merged. While scanning
// finds more (`saved_before` is KsmState::pages_sharing of the step before) it is done more; else less, and
// when nobody wants it any more it stops: what is merged stays so. Pages of different NUMA nodes are not
// merged, unless some are already.
host::KsmSettings NextKsm(const host::KsmState& now, uint64_t saved_before, bool wanted, int nodes);

}  // namespace berth::server

// What the host has promised to its guests, as admission and placement count it.
#pragma once

#include <vector>

#include "server/guest/engine.h"
#include "server/overcommit/overhead.h"
#include "server/placement/ledger.h"

namespace berth::server {

struct Promised {
  Ledger ledger;  // With shared CPUs counted by predicted use where the policy says so.
  std::vector<OverheadSample> overhead;  // What running monitors were seen to take.
};

// Any thread.
Promised PromisedBy(const Engine& engine);

}  // namespace berth::server

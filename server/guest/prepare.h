// Everything about a start that can be refused before anything is done.
#pragma once

#include <vector>

#include "base/error.h"
#include "server/guest/host_effects.h"
#include "server/guest/launch_plan.h"
#include "server/guest/resolved_device.h"
#include "server/overcommit/admission.h"
#include "server/overcommit/overhead.h"
#include "server/placement/placement.h"
#include "server/store/guest_table.h"

namespace berth::server {

struct PreparedStart {
  std::vector<ResolvedDevice> devices;
  Admission admission;
  Placement placement;
  LaunchPlan plan;
};

enum class PrepareFor {
  kStart,
  // The guest is only to be able to start some day: what others use at the moment is not in the way, but for
  // devices, which are claimed.
  kDefinition,
};

// The errors of ResolveDevices, Admit, Place and OpenFile; NOT_FOUND, BRIDGE_NOT_FOUND; FAILED_PRECONDITION,
// HOST_NODE_NOT_FOR_GUESTS. Changes nothing. `overhead` is what running monitors were seen to take.
Result<PreparedStart> PrepareStart(HostEffects& host, const StoredGuest& guest,
                                   const std::vector<Claim>& claims,
                                   const std::vector<Quarantined>& quarantined, const Ledger& ledger,
                                   const std::vector<OverheadSample>& overhead,
                                   const LaunchSettings& settings, PrepareFor purpose);

// What of it the guest's owner is shown: the placement, the devices and the network interfaces.
void ShowPrepared(const PreparedStart& prepared, v1::Guest* guest);

}  // namespace berth::server

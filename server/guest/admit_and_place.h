// Whether there is room for a guest, and where: its devices, the host's promise, and its place on it.
#pragma once

#include <vector>

#include "base/error.h"
#include "berth/v1/guest.pb.h"
#include "server/guest/resolved_device.h"
#include "server/overcommit/admission.h"
#include "server/overcommit/overhead.h"
#include "server/placement/placement.h"

namespace berth::server {

struct AdmittedPlacement {
  Admission admission;
  Placement placement;
};

// Admits a guest to the host as a whole, and then finds its place beside what the ledger says is promised.
// Pure. The errors of Admit and Place; FAILED_PRECONDITION, HOST_NODE_NOT_FOR_GUESTS; INVALID_ARGUMENT,
// CheckPolicyOf.
Result<AdmittedPlacement> AdmitAndPlace(const host::HostSnapshot& host, const Ledger& ledger,
                                        const v1::GuestSpec& spec, const HostPolicy& policy,
                                        const std::vector<OverheadSample>& overhead,
                                        PlacementRequest request);

struct PlacedGuest {
  std::vector<ResolvedDevice> devices;
  Admission admission;
  Placement placement;
};

// The same with the guest's devices: those that are asked for by their kind are chosen so that the guest fits
// beside as many of them as can be, on as few host nodes. The errors of ResolveDevices besides.
Result<PlacedGuest> ResolveAndPlace(const host::HostSnapshot& host, const v1::Guest& guest,
                                    const std::vector<Claim>& claims,
                                    const std::vector<Quarantined>& quarantined, const Ledger& ledger,
                                    const std::vector<OverheadSample>& overhead, const HostPolicy& policy);

}  // namespace berth::server

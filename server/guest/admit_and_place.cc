#include "server/guest/admit_and_place.h"

#include <algorithm>

#include "base/log.h"
#include "server/guest/field_error.h"
#include "server/guest/placement_request.h"
#include "server/guest/resource_policy.h"

namespace berth::server {
namespace {

int DedicatedVcpus(const PlacementRequest& request) {
  int dedicated = 0;
  for (int vcpu = 0; vcpu < request.vcpu_count; ++vcpu) dedicated += request.IsDedicated(vcpu) ? 1 : 0;
  return dedicated;
}

GuestDemand DemandOf(const v1::GuestSpec& spec, const PlacementRequest& request, const HostPolicy& policy) {
  return {.size = SizeOf(spec),
          .dedicated_vcpus = DedicatedVcpus(request),
          .passthrough = spec.assigned_devices_size() > 0,
          .policy = PolicyOf(spec.resource_policy(), policy.guest_defaults)};
}

// Nodes that are for guests, of which the owner may have named some.
Status LimitNodes(const HostPolicy& policy, PlacementRequest* request) {
  if (policy.guest_nodes.empty()) return Ok();
  for (int node : request->host_nodes) {
    if (policy.guest_nodes.Contains(node)) continue;
    return Fail(
        Error(Code::kFailedPrecondition, fmt::format("node {} is not for guests; nodes {} are (guest-nodes)",
                                                     node, policy.guest_nodes.ToString()))
            .Reason("HOST_NODE_NOT_FOR_GUESTS")
            .With("node", std::to_string(node))
            .Field("guest.spec.placement.host_nodes"));
  }
  if (request->host_nodes.empty())
    request->host_nodes.assign(policy.guest_nodes.begin(), policy.guest_nodes.end());
  return Ok();
}

Status CheckApart(const PlacementRequest& request) {
  const auto& names = request.apart_from;
  if (std::find(names.begin(), names.end(), request.guest) == names.end()) return Ok();
  return BadField("placement.apart_from", "{} cannot be kept apart from itself", request.guest);
}

bool ChosenByKind(const v1::AssignedDeviceSpec& device) {
  return device.has_pci_selector() || device.mediated_device().has_create();
}

// The spec for each host node that devices which are chosen by kind could be looked for first, after the spec
// as it is.
std::vector<v1::GuestSpec> WaysToChoose(const host::HostSnapshot& host, const v1::GuestSpec& spec) {
  std::vector<v1::GuestSpec> ways{spec};
  const auto& devices = spec.assigned_devices();
  if (spec.placement().host_nodes_size() > 0 || std::none_of(devices.begin(), devices.end(), ChosenByKind)) {
    return ways;
  }
  for (const host::NumaNode& node : host.memory.nodes)
    ways.emplace_back(spec).mutable_placement()->add_host_nodes(node.id);
  return ways;
}

// How far apart a guest is put; less is better, in this order.
struct Spread {
  int64_t far_devices = 0;  // On none of the guest's nodes, where its owner is not indifferent to that.
  size_t more_nodes = 0;    // Host nodes, beside one for each node of the guest.
  friend auto operator<=>(const Spread&, const Spread&) = default;
};

Spread SpreadOf(const v1::GuestSpec& spec, const PlacedGuest& placed) {
  const host::CpuSet nodes = placed.placement.AllNodes();
  Spread spread{.more_nodes = nodes.size() - std::min(nodes.size(), placed.placement.nodes.size())};
  for (size_t i = 0; i < placed.devices.size(); ++i) {
    const auto& node = placed.devices[i].host_node;
    const bool matters =
        spec.assigned_devices(static_cast<int>(i)).affinity() != v1::AssignedDeviceSpec::NONE;
    if (matters && node && !nodes.Contains(*node)) ++spread.far_devices;
  }
  return spread;
}

}  // namespace

Result<AdmittedPlacement> AdmitAndPlace(const host::HostSnapshot& host, const Ledger& ledger,
                                        const v1::GuestSpec& spec, const HostPolicy& policy,
                                        const std::vector<OverheadSample>& overhead,
                                        PlacementRequest request) {
  TRY(CheckPolicyOf(spec, policy.guest_defaults));
  TRY(CheckApart(request));
  TRY(LimitNodes(policy, &request));
  const HostModel model = MakeHostModel(host, policy.pools);
  int vcpus = 0;
  for (const Reservation& reservation : ledger) vcpus += reservation.vcpus;
  const HostUse use = UseOf(model, RoomBeside(model, ledger), request.page_size_bytes, vcpus);
  const bool page_size_known = use.memory_bytes > 0;
  Admission admission;
  if (page_size_known) {
    admission = TRY(Admit(policy, DemandOf(spec, request, policy), use, overhead));
    for (const std::string& warning : admission.warnings) LOG_WARNING("{}: {}", request.guest, warning);
    request.millicpus_per_shared_vcpu = admission.millicpus_per_shared_vcpu;
    request.memory_permille = admission.memory_permille;
    request.overhead_bytes = admission.overhead_bytes;
  }
  return AdmittedPlacement{.admission = admission,
                           .placement = TRY(Place(host, ledger, request, policy.pools))};
}

Result<PlacedGuest> ResolveAndPlace(const host::HostSnapshot& host, const v1::Guest& guest,
                                    const std::vector<Claim>& claims,
                                    const std::vector<Quarantined>& quarantined, const Ledger& ledger,
                                    const std::vector<OverheadSample>& overhead, const HostPolicy& policy) {
  const v1::GuestSpec& spec = guest.spec();
  Result<PlacedGuest> best = Fail(Code::kInternal, "nothing was tried");
  const auto place = [&](const v1::GuestSpec& way) -> Result<PlacedGuest> {
    PlacedGuest placed{.devices = TRY(ResolveDevices(host, way, claims, quarantined, guest.uid())),
                       .admission = {},
                       .placement = {}};
    PlacementRequest request = ToPlacementRequest(spec, placed.devices);
    request.guest = guest.name();
    AdmittedPlacement admitted = TRY(AdmitAndPlace(host, ledger, spec, policy, overhead, std::move(request)));
    placed.admission = std::move(admitted.admission);
    placed.placement = std::move(admitted.placement);
    return placed;
  };
  bool first = true;
  for (const v1::GuestSpec& way : WaysToChoose(host, spec)) {
    Result<PlacedGuest> placed = place(way);
    const bool better = placed && (!best || SpreadOf(spec, *placed) < SpreadOf(spec, *best));
    // If nothing fits, the reason is that of the spec as it is.
    if (first || better) best = std::move(placed);
    first = false;
    if (best && SpreadOf(spec, *best) == Spread{}) break;
  }
  return best;
}

}  // namespace berth::server

#include "server/guest/prepare.h"

#include <algorithm>

#include "base/log.h"
#include "net/host/mac_address.h"
#include "net/host/tap.h"
#include "server/guest/device_spec_check.h"
#include "server/guest/field_error.h"
#include "server/guest/placement_request.h"
#include "server/guest/reservation_view.h"
#include "server/guest/resource_policy.h"
#include "server/guest/spec_check.h"
#include "server/overcommit/admission.h"

namespace berth::server {
namespace {

Status CheckBridges(const host::HostSnapshot& host, const v1::GuestSpec& spec) {
  for (int i = 0; i < spec.network_interfaces_size(); ++i) {
    const std::string& bridge = spec.network_interfaces(i).bridge();
    const bool found = std::any_of(host.interfaces.begin(), host.interfaces.end(),
                                   [&](const auto& one) { return one.name == bridge && one.bridge; });
    if (found) continue;
    return Fail(Error(Code::kNotFound, fmt::format("the host has no bridge {}", bridge))
                    .Reason("BRIDGE_NOT_FOUND")
                    .With("bridge", bridge)
                    .Field(fmt::format("guest.spec.network_interfaces[{}].bridge", i)));
  }
  return Ok();
}

std::string FieldOf(const FileDescriptor& file, const v1::GuestSpec& spec) {
  if (file.role == FileDescriptor::Role::kKernel) return "guest.spec.boot.kernel_path";
  if (file.role == FileDescriptor::Role::kInitrd) return "guest.spec.boot.initrd_path";
  for (int i = 0; i < spec.disks_size(); ++i) {
    if (spec.disks(i).path() == file.path) return fmt::format("guest.spec.disks[{}].path", i);
  }
  return "";
}

Result<std::vector<ImageFiles>> OpenAlone(HostEffects& host, const FileDescriptor& file) {
  std::vector<ImageFiles> files(1);
  files[0].image = TRY(host.Open(file));
  return files;
}

Status CheckFiles(HostEffects& host, const LaunchPlan& plan, const v1::GuestSpec& spec, PrepareFor purpose) {
  // Held until all are open, so that one image named twice is found.
  std::vector<ImageFiles> opened;
  for (const Descriptor& descriptor : plan.descriptors) {
    const FileDescriptor* file = std::get_if<FileDescriptor>(&descriptor);
    if (file == nullptr) continue;
    const bool is_image = file->role == FileDescriptor::Role::kImage;
    Result<std::vector<ImageFiles>> files = is_image ? host.OpenImage(*file) : OpenAlone(host, *file);
    if (files) {
      for (ImageFiles& layer : *files) opened.push_back(std::move(layer));
      continue;
    }
    if (purpose == PrepareFor::kDefinition && files.error().reason() == "IMAGE_IN_USE") continue;
    return Fail(std::move(files).error().Field(FieldOf(*file, spec)));
  }
  return Ok();
}

int DedicatedVcpus(const PlacementRequest& request) {
  int dedicated = 0;
  for (int vcpu = 0; vcpu < request.vcpu_count; ++vcpu) dedicated += request.IsDedicated(vcpu) ? 1 : 0;
  return dedicated;
}

GuestDemand DemandOf(const v1::GuestSpec& spec, const PlacementRequest& request, const HostPolicy& policy) {
  const int devices = spec.disks_size() + spec.network_interfaces_size() + (spec.entropy_device() ? 1 : 0) +
                      (spec.memory().balloon() ? 1 : 0) + 1;  // The console.
  return {.size = {.memory_bytes = static_cast<uint64_t>(MemorySize(spec)),
                   .page_size_bytes = request.page_size_bytes,
                   .vcpus = request.vcpu_count,
                   .devices = devices,
                   .assigned_devices = spec.assigned_devices_size()},
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

// Admits the guest to the host as a whole, and then finds its place.
Result<Placement> AdmitAndPlace(const host::HostSnapshot& host, const Ledger& ledger,
                                const v1::GuestSpec& spec, const HostPolicy& policy,
                                const std::vector<OverheadSample>& overhead, PlacementRequest request) {
  TRY(CheckPolicyOf(spec, policy.guest_defaults));
  TRY(CheckApart(request));
  TRY(LimitNodes(policy, &request));
  const HostModel model = MakeHostModel(host, policy.pools);
  int vcpus = 0;
  for (const Reservation& reservation : ledger) vcpus += reservation.vcpus;
  const HostUse use = UseOf(model, RoomBeside(model, ledger), request.page_size_bytes, vcpus);
  const bool page_size_known = use.memory_bytes > 0;
  if (page_size_known) {
    const Admission admission = TRY(Admit(policy, DemandOf(spec, request, policy), use, overhead));
    for (const std::string& warning : admission.warnings) LOG_WARNING("{}: {}", request.guest, warning);
    request.millicpus_per_shared_vcpu = admission.millicpus_per_shared_vcpu;
    request.memory_permille = admission.memory_permille;
    request.overhead_bytes = admission.overhead_bytes;
  }
  return Place(host, ledger, request, policy.pools);
}

}  // namespace

Result<PreparedStart> PrepareStart(HostEffects& host, const StoredGuest& guest,
                                   const std::vector<Claim>& claims,
                                   const std::vector<Quarantined>& quarantined, const Ledger& ledger,
                                   const std::vector<OverheadSample>& overhead,
                                   const LaunchSettings& settings, PrepareFor purpose) {
  const v1::GuestSpec& spec = guest.guest.spec();
  const host::HostSnapshot snapshot = TRY(host.Snapshot());
  PreparedStart prepared;
  prepared.devices = TRY(ResolveDevices(snapshot, spec, claims, quarantined, guest.guest.uid()));
  PlacementRequest request = ToPlacementRequest(spec, prepared.devices);
  request.guest = guest.guest.name();
  prepared.placement = TRY(AdmitAndPlace(snapshot, purpose == PrepareFor::kStart ? ledger : Ledger(), spec,
                                         settings.policy, overhead, std::move(request)));
  TRY(CheckBridges(snapshot, spec));
  prepared.plan = MakeLaunchPlan(guest, prepared.devices, prepared.placement, settings);
  TRY(CheckFiles(host, prepared.plan, spec, purpose));
  return prepared;
}

void ShowPrepared(const PreparedStart& prepared, v1::Guest* guest) {
  guest->clear_placement();
  for (const Placement::Node& node : prepared.placement.nodes) {
    v1::MemoryPlacement* memory = guest->mutable_placement()->add_memory();
    uint64_t size_bytes = 0;
    for (const Placement::Memory& part : node.memory) {
      memory->add_host_nodes(part.host_node);
      size_bytes += part.size_bytes;
    }
    memory->set_size_bytes(static_cast<int64_t>(size_bytes));
    memory->mutable_vcpus()->Assign(node.vcpus.begin(), node.vcpus.end());
  }
  v1::EffectivePlacement* placement = guest->mutable_placement();
  placement->mutable_emulator_cpus()->Assign(prepared.placement.emulator.begin(),
                                             prepared.placement.emulator.end());
  for (const host::CpuSet& cpus : prepared.placement.io_threads)
    placement->mutable_io_cpus()->Assign(cpus.begin(), cpus.end());
  for (const host::CpuSet& cpus : prepared.placement.vcpus) {
    v1::VcpuPlacement* vcpu = guest->mutable_placement()->add_vcpus();
    for (int cpu : cpus) vcpu->add_host_cpus(cpu);
  }
  *guest->mutable_placement()->mutable_reserved() = ToHostReservation(prepared.placement.reservation);
  guest->clear_claimed_devices();
  for (const ResolvedDevice& device : prepared.devices)
    *guest->add_claimed_devices() = ToClaimedDevice(device);
  guest->clear_network_interfaces();
  const v1::GuestSpec& spec = guest->spec();
  for (int i = 0; i < spec.network_interfaces_size(); ++i) {
    const std::string id = NetworkInterfaceId(spec, i), owner = guest->uid() + "/" + id;
    v1::EffectiveNetworkInterface* shown = guest->add_network_interfaces();
    shown->set_id(id);
    shown->set_tap(net::TapName(owner));
    const std::string& mac = spec.network_interfaces(i).mac_address();
    shown->set_mac_address(mac.empty() ? net::MacAddressFor(owner).ToString() : mac);
  }
}

}  // namespace berth::server

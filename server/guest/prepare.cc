#include "server/guest/prepare.h"

#include <algorithm>

#include "net/host/mac_address.h"
#include "net/host/tap.h"
#include "server/guest/device_spec_check.h"
#include "server/guest/reservation_view.h"

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

Status CheckFiles(HostEffects& host, const LaunchPlan& plan, const v1::GuestSpec& spec, PrepareFor purpose) {
  // Held until all are open, so that one image named twice is found.
  std::vector<UniqueFd> opened;
  for (const Descriptor& descriptor : plan.descriptors) {
    const FileDescriptor* file = std::get_if<FileDescriptor>(&descriptor);
    if (file == nullptr) continue;
    Result<UniqueFd> fd = host.Open(*file);
    if (fd) {
      opened.push_back(*std::move(fd));
      continue;
    }
    if (purpose == PrepareFor::kDefinition && fd.error().reason() == "IMAGE_IN_USE") continue;
    return Fail(std::move(fd).error().Field(FieldOf(*file, spec)));
  }
  return Ok();
}

}  // namespace

Result<PreparedStart> PrepareStart(HostEffects& host, const StoredGuest& guest,
                                   const std::vector<Claim>& claims,
                                   const std::vector<Quarantined>& quarantined, const Ledger& ledger,
                                   const LaunchSettings& settings, PrepareFor purpose) {
  const v1::GuestSpec& spec = guest.guest.spec();
  const host::HostSnapshot snapshot = TRY(host.Snapshot());
  PreparedStart prepared;
  prepared.devices = TRY(ResolveDevices(snapshot, spec, claims, quarantined, guest.guest.uid()));
  PlacementRequest request = ToPlacementRequest(spec, prepared.devices);
  request.guest = guest.guest.name();
  prepared.placement = TRY(Place(snapshot, purpose == PrepareFor::kStart ? ledger : Ledger(), request));
  TRY(CheckBridges(snapshot, spec));
  prepared.plan = MakeLaunchPlan(guest, prepared.devices, prepared.placement, settings);
  TRY(CheckFiles(host, prepared.plan, spec, purpose));
  return prepared;
}

void ShowPrepared(const PreparedStart& prepared, v1::Guest* guest) {
  guest->clear_placement();
  for (const Placement::Node& node : prepared.placement.nodes) {
    v1::MemoryPlacement* memory = guest->mutable_placement()->add_memory();
    for (const Placement::Memory& part : node.memory) memory->add_host_nodes(part.host_node);
  }
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

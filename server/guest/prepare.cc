#include "server/guest/prepare.h"

#include <algorithm>

#include "net/host/mac_address.h"
#include "net/host/tap.h"
#include "server/guest/admit_and_place.h"
#include "server/guest/device_spec_check.h"
#include "server/guest/placement_view.h"
#include "server/guest/spec_check.h"

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
    if (file.pool && spec.disks(i).volume() == file.path)
      return fmt::format("guest.spec.disks[{}].volume", i);
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

}  // namespace

Result<PreparedStart> PrepareStart(HostEffects& host, const StoredGuest& guest,
                                   const std::vector<Claim>& claims,
                                   const std::vector<Quarantined>& quarantined, const Ledger& ledger,
                                   const std::vector<OverheadSample>& overhead,
                                   const LaunchSettings& settings, PrepareFor purpose) {
  const v1::GuestSpec& spec = guest.guest.spec();
  const host::HostSnapshot snapshot = TRY(host.Snapshot());
  PreparedStart prepared;
  PlacedGuest placed =
      TRY(ResolveAndPlace(snapshot, guest.guest, claims, quarantined,
                          purpose == PrepareFor::kStart ? ledger : Ledger(), overhead, settings.policy));
  prepared.devices = std::move(placed.devices);
  prepared.admission = std::move(placed.admission);
  prepared.placement = std::move(placed.placement);
  TRY(CheckBridges(snapshot, spec));
  prepared.plan = MakeLaunchPlan(guest, prepared.devices, prepared.placement, prepared.admission, settings);
  TRY(CheckFiles(host, prepared.plan, spec, purpose));
  return prepared;
}

void ShowPrepared(const PreparedStart& prepared, v1::Guest* guest) {
  *guest->mutable_placement() = ToEffectivePlacement(prepared.placement);
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

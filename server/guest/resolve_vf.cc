#include "server/guest/device_key.h"
#include "server/guest/device_resolver.h"

namespace berth::server {
namespace {

bool IsNetwork(const host::PciFunction& function) { return function.class_code >> 16 == 0x02; }

// The index asked for, the one from before, or the first that is free; one without a driver if there is such.
Result<int> PickVf(const DeviceResolver& resolver, const host::PciFunction& function,
                   const v1::VirtualFunctionSpec& spec, const std::string& earlier) {
  const int total = function.sriov->total_vfs;
  if (spec.has_index()) {
    if (spec.index() < total) return spec.index();
    return Fail(
        Error(Code::kOutOfRange, fmt::format("{} can have {} virtual functions, there is no number {}",
                                             host::Describe(function), total, spec.index()))
            .Reason("TOO_MANY_VFS")
            .With("device", function.address.ToString())
            .With("totalVfs", std::to_string(total)));
  }
  if (const auto had = ParseVfKey(earlier); had && had->first == function.address) return had->second;
  const int count = function.sriov->num_vfs > 0 ? function.sriov->num_vfs : total;
  std::optional<int> with_driver;
  for (int index = 0; index < count; ++index) {
    if (!resolver.IsFree(VfKey(function.address, index))) continue;
    const auto& vfs = function.sriov->vfs;
    const bool exists = index < static_cast<int>(vfs.size()) && vfs[index].has_value();
    const host::PciFunction* vf = exists ? resolver.host.FindFunction(*vfs[index]) : nullptr;
    if (vf == nullptr || vf->driver.empty()) return index;
    if (!with_driver) with_driver = index;
  }
  if (with_driver) return *with_driver;
  return Fail(Error(Code::kResourceExhausted,
                    fmt::format("all {} virtual functions of {} are in use", count, host::Describe(function)))
                  .Reason("NO_VF_LEFT")
                  .With("device", function.address.ToString())
                  .With("count", std::to_string(count)));
}

// What is to be set on the physical function's side.
net::VfSettings SettingsOf(const v1::VirtualFunctionSpec& spec) {
  net::VfSettings settings;
  if (!spec.mac_address().empty()) settings.mac = spec.mac_address();
  if (spec.vlan_id() != 0) {
    settings.vlan = net::VfVlan{.id = spec.vlan_id(), .qos = spec.vlan_qos()};
    if (spec.vlan_protocol() == v1::VirtualFunctionSpec::IEEE_802_1AD) settings.vlan->protocol = 0x88a8;
  }
  if (spec.min_rate_mbps() != 0 || spec.max_rate_mbps() != 0) {
    settings.rate = net::VfRate{.min_mbps = static_cast<uint32_t>(spec.min_rate_mbps()),
                                .max_mbps = static_cast<uint32_t>(spec.max_rate_mbps())};
  }
  if (spec.has_spoof_check()) settings.spoof_check = spec.spoof_check();
  if (spec.has_trust()) settings.trust = spec.trust();
  switch (spec.link_state()) {
    case v1::VirtualFunctionSpec::LINK_STATE_AUTO:
      settings.link_state = static_cast<int>(net::VfLinkState::kAuto);
      break;
    case v1::VirtualFunctionSpec::LINK_STATE_ENABLE:
      settings.link_state = static_cast<int>(net::VfLinkState::kEnable);
      break;
    case v1::VirtualFunctionSpec::LINK_STATE_DISABLE:
      settings.link_state = static_cast<int>(net::VfLinkState::kDisable);
      break;
    default:
      break;
  }
  return settings;
}

}  // namespace

Result<ResolvedDevice> ResolveVf(const DeviceResolver& resolver, const v1::VirtualFunctionSpec& spec,
                                 const std::string& earlier) {
  const host::PciFunction* function = TRY(FindFunction(resolver.host, spec.physical_function()));
  if (!function->sriov || function->sriov->total_vfs == 0) {
    return Fail(
        Error(Code::kInvalidArgument, fmt::format("{} has no virtual functions", host::Describe(*function)))
            .Reason("NOT_A_PHYSICAL_FUNCTION")
            .With("device", function->address.ToString()));
  }
  const net::VfSettings settings = SettingsOf(spec);
  if (settings != net::VfSettings{} && !IsNetwork(*function)) {
    return Fail(
        Error(Code::kInvalidArgument, fmt::format("{} is no network function: its virtual functions have no "
                                                  "MAC address, VLAN, rate, spoof check, trust or link state",
                                                  host::Describe(*function)))
            .Reason("NOT_A_NETWORK_FUNCTION")
            .With("device", function->address.ToString()));
  }
  const int index = TRY(PickVf(resolver, *function, spec, earlier));
  const auto& sriov = *function->sriov;
  ResolvedDevice device{.key = VfKey(function->address, index), .host_node = function->numa_node};
  device.vf = ResolvedDevice::Vf{.physical_function = function->address,
                                 .index = index,
                                 .count = sriov.num_vfs > index ? sriov.num_vfs : sriov.total_vfs,
                                 .settings = settings};
  if (index < static_cast<int>(sriov.vfs.size())) device.address = sriov.vfs[index];
  return device;
}

}  // namespace berth::server

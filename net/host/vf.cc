#include "net/host/vf.h"

#include <algorithm>
#include <array>

#include "host/pci.h"

namespace berth::net {
namespace {

using host::HostRoots;
using host::PciAddress;

// One of the settings, by what it is called and by the way it is taken from a VfSettings into another.
struct Setting {
  const char* name;
  bool (*present)(const VfSettings&);
  bool (*equal)(const VfSettings&, const VfSettings&);
  void (*copy)(const VfSettings& from, VfSettings& to);
};

template <auto Member>
constexpr Setting Of(const char* name) {
  return {.name = name,
          .present = [](const VfSettings& settings) { return (settings.*Member).has_value(); },
          .equal = [](const VfSettings& a, const VfSettings& b) { return a.*Member == b.*Member; },
          .copy = [](const VfSettings& from, VfSettings& to) { to.*Member = from.*Member; }};
}

// In the order of application: drivers let a VF choose less of its own once it has a VLAN and a MAC.
constexpr std::array kSettings = {Of<&VfSettings::vlan>("vlan"),   Of<&VfSettings::mac>("mac"),
                                  Of<&VfSettings::rate>("rate"),   Of<&VfSettings::spoof_check>("spoofCheck"),
                                  Of<&VfSettings::trust>("trust"), Of<&VfSettings::link_state>("linkState")};

Error Failure(Code code, const char* reason, const PciAddress& address, int vf_index, std::string message) {
  return Error(code, std::move(message))
      .Reason(reason)
      .With("device", address.ToString())
      .With("vf", std::to_string(vf_index));
}

Status CheckWanted(const VfSettings& wanted) {
  if (wanted.mac) {
    const MacAddress mac = TRY(MacAddress::Parse(*wanted.mac));
    if (!mac.is_unicast()) {
      return Fail(
          Error(Code::kInvalidArgument, fmt::format("{} cannot be an interface's MAC address", *wanted.mac))
              .Reason("BAD_MAC_ADDRESS")
              .With("mac", *wanted.mac));
    }
  }
  if (wanted.vlan) {
    const VfVlan& vlan = *wanted.vlan;
    const bool good = vlan.id >= 0 && vlan.id <= 4095 && vlan.qos >= 0 && vlan.qos <= 7 &&
                      (vlan.protocol == 0x8100 || vlan.protocol == 0x88a8);
    if (!good) {
      return Fail(
          Error(
              Code::kInvalidArgument,
              fmt::format("VLAN {} with priority {} and protocol {:#x} is none: 0 to 4095, 0 to 7, 0x8100 or "
                          "0x88a8",
                          vlan.id, vlan.qos, vlan.protocol))
              .Reason("BAD_VLAN")
              .With("vlan", std::to_string(vlan.id)));
    }
  }
  if (wanted.link_state && (*wanted.link_state < 0 || *wanted.link_state > 2)) {
    return Fail(Error(Code::kInvalidArgument, "a VF's link state is 0 (auto), 1 (up) or 2 (down)")
                    .Reason("BAD_LINK_STATE"));
  }
  return Ok();
}

// The first interface of the function by name; none if it has no network driver now.
std::optional<std::string> InterfaceOf(const HostRoots& roots, const PciAddress& address) {
  const auto function = ReadPciFunction(roots, address);
  if (!function || function->interfaces.empty()) return std::nullopt;
  return function->interfaces.front();
}

Result<std::string> RequireInterface(const HostRoots& roots, const PciAddress& address, int vf_index) {
  const auto function = TRY(ReadPciFunction(roots, address));
  if (!function.interfaces.empty()) return function.interfaces.front();
  return Fail(
      Failure(Code::kFailedPrecondition, "NO_PF_INTERFACE", address, vf_index,
              fmt::format("{} has no network interface to set up its virtual functions by: its driver is {}",
                          Describe(function), function.driver.empty() ? "none" : function.driver)));
}

VfSettings Only(const Setting& setting, const VfSettings& from) {
  VfSettings one;
  setting.copy(from, one);
  return one;
}

}  // namespace

Result<VfChange> PlanVf(const HostRoots& roots, VfPort& port, const PciAddress& physical_function,
                        int vf_index, const VfSettings& wanted) {
  TRY(CheckWanted(wanted));
  const std::string interface = TRY(RequireInterface(roots, physical_function, vf_index));
  const VfSettings now = TRY(port.Get(interface, vf_index));
  VfChange change{.physical_function = physical_function, .vf_index = vf_index, .wanted = wanted};
  for (const Setting& setting : kSettings) {
    if (!setting.present(wanted)) continue;
    if (!setting.present(now)) {
      return Fail(Failure(Code::kFailedPrecondition, "VF_SETTING_NOT_SUPPORTED", physical_function, vf_index,
                          fmt::format("the driver of {} does not know the setting {} of virtual functions",
                                      interface, setting.name))
                      .With("setting", setting.name));
    }
    setting.copy(now, change.original);
  }
  return change;
}

Status ApplyVf(const HostRoots& roots, VfPort& port, const VfChange& change) {
  const std::string interface = TRY(RequireInterface(roots, change.physical_function, change.vf_index));
  for (const Setting& setting : kSettings) {
    if (!setting.present(change.wanted)) continue;
    Status set = port.Set(interface, change.vf_index, Only(setting, change.wanted));
    std::string cause = set ? "the driver reports success but keeps another value" : set.error().message();
    if (set) {
      const auto now = port.Get(interface, change.vf_index);
      if (now && setting.equal(*now, change.wanted)) continue;
      if (!now) cause = now.error().message();
    }
    const Status restored = RestoreVf(roots, port, change);
    Error error =
        Failure(Code::kFailedPrecondition, "VF_SETTING_REFUSED", change.physical_function, change.vf_index,
                fmt::format("cannot set {} of virtual function {} of {}: {}", setting.name, change.vf_index,
                            interface, cause))
            .With("setting", setting.name)
            .With("error", cause);
    if (restored) return Fail(std::move(error));
    return Fail(std::move(error).With("restoreError", restored.error().message()));
  }
  return Ok();
}

Status RestoreVf(const HostRoots& roots, VfPort& port, const VfChange& change) {
  const auto interface = InterfaceOf(roots, change.physical_function);
  if (!interface) return Ok();
  const auto now = port.Get(*interface, change.vf_index);
  if (!now) return now.error().code() == Code::kNotFound ? Ok() : Fail(now.error());
  std::string refused, cause;
  for (auto setting = kSettings.rbegin(); setting != kSettings.rend(); ++setting) {
    if (!setting->present(change.original) || setting->equal(*now, change.original)) continue;
    if (const Status set = port.Set(*interface, change.vf_index, Only(*setting, change.original)); !set) {
      refused += fmt::format("{}{}", refused.empty() ? "" : ",", setting->name);
      cause = set.error().message();
    }
  }
  if (refused.empty()) return Ok();
  return Fail(Failure(Code::kFailedPrecondition, "VF_SETTING_REFUSED", change.physical_function,
                      change.vf_index,
                      fmt::format("cannot put back {} of virtual function {} of {}: {}", refused,
                                  change.vf_index, *interface, cause))
                  .With("setting", refused)
                  .With("error", cause));
}

}  // namespace berth::net

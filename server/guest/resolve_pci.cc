#include <algorithm>
#include <utility>

#include "server/guest/device_key.h"
#include "server/guest/device_resolver.h"
#include "server/guest/iommu_check.h"
#include "vfio/bind/group.h"

namespace berth::server {
namespace {

std::string Ids(uint16_t vendor, uint16_t device) { return fmt::format("{:04x}:{:04x}", vendor, device); }

bool Matches(const v1::PciSelectorSpec& selector, const host::PciFunction& function) {
  const auto& nodes = selector.host_nodes();
  return !function.is_bridge() && Ids(function.vendor_id, function.device_id) == selector.id() &&
         (selector.subsystem_id().empty() ||
          Ids(function.subsystem_vendor_id, function.subsystem_device_id) == selector.subsystem_id()) &&
         (nodes.empty() ||
          (function.numa_node && std::find(nodes.begin(), nodes.end(), *function.numa_node) != nodes.end()));
}

// Whether the guest's spec asks for it, or may come to do so.
bool IsWanted(const DeviceResolver& resolver, const host::PciFunction& function) {
  for (const v1::AssignedDeviceSpec& other : resolver.spec.assigned_devices()) {
    if (other.has_pci_selector() && Matches(other.pci_selector(), function)) return true;
    if (other.device_case() != v1::AssignedDeviceSpec::kPciAddress) continue;
    const auto address = host::PciAddress::Parse(other.pci_address());
    if (address && *address == function.address) return true;
  }
  return false;
}

ResolvedDevice DeviceFor(const host::PciFunction& function) {
  return {.key = KeyOf(function), .host_node = function.numa_node, .address = function.address};
}

// Nobody named this one function: so one that the host itself may be using is left alone.
Status CheckSpare(const host::HostSnapshot& host, const host::PciFunction& function) {
  const auto used = [&](std::string_view what) -> Status {
    return Fail(Error(Code::kFailedPrecondition,
                      fmt::format("the host may be using {}: {}", host::Describe(function), what))
                    .Reason("DEVICE_IN_USE"));
  };
  if (function.boot_vga) return used("its firmware's messages are on it");
  if (function.sriov && function.sriov->num_vfs > 0) return used("it has virtual functions");
  if (function.class_code >> 16 == 0x01 && !function.driver.empty() &&
      function.driver != function.vfio_driver) {
    return used(fmt::format("it is a storage controller of its driver {}", function.driver));
  }
  for (const host::NetInterface& interface : host.interfaces) {
    const auto& own = function.interfaces;
    if (interface.state == "up" && std::find(own.begin(), own.end(), interface.name) != own.end())
      return used(fmt::format("its interface {} is up", interface.name));
  }
  return Ok();
}

Status CheckUsable(const DeviceResolver& resolver, const host::PciFunction& function) {
  TRY(CheckFree(resolver, DeviceFor(function)));
  TRY(CheckSpare(resolver.host, function));
  // What else of its group the guest will have, too.
  std::vector<host::PciAddress> assigned = {function.address};
  for (const host::PciFunction& other : resolver.host.functions) {
    if (other.iommu_group == function.iommu_group && IsWanted(resolver, other))
      assigned.push_back(other.address);
  }
  return CheckIommuGroup(resolver.host, function.address, assigned, resolver.claims, resolver.guest_uid);
}

bool SharesAGroup(const DeviceResolver& resolver, const host::PciFunction& function) {
  return std::any_of(resolver.chosen.begin(), resolver.chosen.end(), [&](const ResolvedDevice& one) {
    const host::PciFunction* other = one.address ? resolver.host.FindFunction(*one.address) : nullptr;
    return other != nullptr && other->iommu_group && other->iommu_group == function.iommu_group;
  });
}

}  // namespace

Result<const host::PciFunction*> FindFunction(const host::HostSnapshot& host, const std::string& text) {
  const host::PciAddress address = TRY(host::PciAddress::Parse(text));
  const host::PciFunction* function = host.FindFunction(address);
  if (function != nullptr) return function;
  return Fail(Error(Code::kNotFound, fmt::format("the host has no PCI function {}", address.ToString()))
                  .Reason("DEVICE_NOT_FOUND")
                  .With("device", address.ToString())
                  .With("resource", PciDeviceName(address)));
}

Result<ResolvedDevice> ResolvePci(const DeviceResolver& resolver, const std::string& text) {
  const host::PciFunction* function = TRY(FindFunction(resolver.host, text));
  if (function->is_bridge()) {
    return Fail(Error(Code::kInvalidArgument, fmt::format("{} is a bridge", host::Describe(*function)))
                    .Reason("DEVICE_IS_BRIDGE")
                    .With("device", function->address.ToString()));
  }
  return DeviceFor(*function);
}

Result<ResolvedDevice> ResolveAnyPci(const DeviceResolver& resolver, const v1::PciSelectorSpec& selector,
                                     const std::string& earlier) {
  constexpr int kMaxObstaclesTold = 4;
  // Beside what the guest has of a group; on the guest's node; by address.
  const auto rank = [&](const host::PciFunction& function) {
    return std::pair(!SharesAGroup(resolver, function), !resolver.Prefers(function.numa_node));
  };
  const host::PciFunction* best = nullptr;
  int alike = 0;
  std::string obstacles;
  for (const host::PciFunction& function : resolver.host.functions) {
    if (!Matches(selector, function)) continue;
    if (KeyOf(function) == earlier) return DeviceFor(function);  // Its own, and perhaps at work.
    ++alike;
    if (const Status usable = CheckUsable(resolver, function); !usable) {
      if (alike <= kMaxObstaclesTold) obstacles += "; " + usable.error().message();
    } else if (best == nullptr || rank(function) < rank(*best)) {
      best = &function;
    }
  }
  if (best != nullptr) return DeviceFor(*best);
  if (alike == 0) {
    return Fail(Error(Code::kNotFound, fmt::format("the host has no PCI function {}{}", selector.id(),
                                                   selector.host_nodes().empty() ? "" : " on these nodes"))
                    .Reason("DEVICE_NOT_FOUND")
                    .With("id", selector.id()));
  }
  return Fail(Error(Code::kResourceExhausted, fmt::format("none of the host's {} functions {} can be had{}",
                                                          alike, selector.id(), obstacles))
                  .Reason("NO_DEVICE_LEFT")
                  .With("id", selector.id())
                  .With("count", std::to_string(alike)));
}

}  // namespace berth::server

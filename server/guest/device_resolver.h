// Resolves a guest's assigned devices one after the other; for ResolveDevices alone.
#pragma once

#include <string>
#include <vector>

#include "server/guest/resolved_device.h"

namespace berth::server {

// What is known meanwhile.
struct DeviceResolver {
  const host::HostSnapshot& host;
  const v1::GuestSpec& spec;
  const std::vector<Claim>& claims;
  const std::vector<Quarantined>& quarantined;
  const std::string& guest_uid;
  std::vector<ResolvedDevice> chosen;  // This guest's so far.

  bool IsChosen(const std::string& key) const;
  // Neither chosen, nor another guest's, nor quarantined.
  bool IsFree(const std::string& key) const;
  const Quarantined* QuarantineOf(const std::string& key) const;
  // The key that this guest's device had when it was resolved before; empty if it had none.
  std::string Earlier(const std::string& device_id) const;
  // Whether the guest is meant to be on this host node, as far as that is known: by its placement, or by what
  // it has so far.
  bool Prefers(std::optional<int> host_node) const;
};

// Each as ResolveDevices. `earlier` is DeviceResolver::Earlier of the device.
Result<ResolvedDevice> ResolvePci(const DeviceResolver& resolver, const std::string& address);
Result<ResolvedDevice> ResolveAnyPci(const DeviceResolver& resolver, const v1::PciSelectorSpec& selector,
                                     const std::string& earlier);
Result<ResolvedDevice> ResolveVf(const DeviceResolver& resolver, const v1::VirtualFunctionSpec& spec,
                                 const std::string& earlier);
Result<ResolvedDevice> ResolveMdev(const DeviceResolver& resolver, const v1::MediatedDeviceSpec& spec,
                                   const std::string& earlier);

// The function at an address as text. NOT_FOUND, DEVICE_NOT_FOUND.
Result<const host::PciFunction*> FindFunction(const host::HostSnapshot& host, const std::string& text);

// Whether it can be this guest's: a function and its virtual functions are not given to two guests, nor to
// one twice; what is quarantined is nobody's. INVALID_ARGUMENT, DEVICE_NAMED_TWICE. FAILED_PRECONDITION:
// DEVICE_IN_USE, DEVICE_QUARANTINED.
Status CheckFree(const DeviceResolver& resolver, const ResolvedDevice& device);

}  // namespace berth::server

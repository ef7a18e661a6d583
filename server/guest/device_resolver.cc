#include "server/guest/device_resolver.h"

#include <algorithm>

#include <google/protobuf/util/time_util.h>

#include "server/guest/device_key.h"

namespace berth::server {
namespace {

using google::protobuf::util::TimeUtil;

Status CheckQuarantine(const DeviceResolver& resolver, const ResolvedDevice& device) {
  const Quarantined* quarantined = resolver.QuarantineOf(device.key);
  if (quarantined == nullptr) return Ok();
  const std::string since = TimeUtil::ToString(TimeUtil::MicrosecondsToTimestamp(quarantined->since_us));
  Error error(Code::kFailedPrecondition,
              fmt::format("device {} is quarantined since {}: {}. Recover it (berth host recover) when it is "
                          "seen to",
                          device.key, since, quarantined->message));
  if (device.address) error = std::move(error).With("resource", PciDeviceName(*device.address));
  return Fail(std::move(error)
                  .Reason("DEVICE_QUARANTINED")
                  .With("device", device.key)
                  .With("cause", quarantined->reason)
                  .With("since", since));
}

}  // namespace

bool DeviceResolver::IsChosen(const std::string& key) const {
  return std::any_of(chosen.begin(), chosen.end(), [&](const ResolvedDevice& one) { return one.key == key; });
}

bool DeviceResolver::IsFree(const std::string& key) const {
  if (IsChosen(key) || QuarantineOf(key) != nullptr) return false;
  return std::none_of(claims.begin(), claims.end(), [&](const Claim& claim) {
    return claim.device == key && claim.guest_uid != guest_uid;
  });
}

const Quarantined* DeviceResolver::QuarantineOf(const std::string& key) const {
  const auto found = std::find_if(quarantined.begin(), quarantined.end(),
                                  [&](const Quarantined& one) { return one.device == key; });
  return found == quarantined.end() ? nullptr : &*found;
}

std::string DeviceResolver::Earlier(const std::string& device_id) const {
  for (const Claim& claim : claims) {
    if (claim.guest_uid == guest_uid && claim.device_id == device_id) return claim.device;
  }
  return "";
}

bool DeviceResolver::Prefers(std::optional<int> host_node) const {
  const auto& nodes = spec.placement().host_nodes();
  if (!nodes.empty()) return host_node && std::find(nodes.begin(), nodes.end(), *host_node) != nodes.end();
  return std::any_of(chosen.begin(), chosen.end(),
                     [&](const ResolvedDevice& one) { return one.host_node && one.host_node == host_node; });
}

Status CheckFree(const DeviceResolver& resolver, const ResolvedDevice& device) {
  if (resolver.IsChosen(device.key)) {
    return Fail(Error(Code::kInvalidArgument, fmt::format("device {} is named twice", device.key))
                    .Reason("DEVICE_NAMED_TWICE")
                    .With("device", device.key));
  }
  for (const Claim& claim : resolver.claims) {
    if (claim.guest_uid == resolver.guest_uid) continue;
    const auto claimed_vf = ParseVfKey(claim.device);
    const bool same = claim.device == device.key;
    const bool of_claimed = device.vf && claim.device == PciKey(device.vf->physical_function);
    const bool has_claimed =
        !device.vf && device.address && claimed_vf && claimed_vf->first == *device.address;
    if (!same && !of_claimed && !has_claimed) continue;
    Error error(Code::kFailedPrecondition, fmt::format("device {} is in use by {}", device.key, claim.guest));
    if (device.address) error = std::move(error).With("resource", PciDeviceName(*device.address));
    if (device.mdev) error = std::move(error).With("resource", MdevDeviceName(device.mdev->uuid));
    return Fail(
        std::move(error).Reason("DEVICE_IN_USE").With("device", device.key).With("owner", claim.guest));
  }
  return CheckQuarantine(resolver, device);
}

}  // namespace berth::server

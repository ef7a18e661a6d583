#include "server/guest/device_release.h"

#include <algorithm>

#include <google/protobuf/util/time_util.h>

#include "base/log.h"
#include "server/guest/device_spec_check.h"

namespace berth::server {
namespace {

using google::protobuf::util::TimeUtil;

void RemoveDevice(const std::string& device_id, v1::Guest* guest) {
  NameDevices(guest->mutable_spec());
  auto* specs = guest->mutable_spec()->mutable_assigned_devices();
  specs->erase(
      std::remove_if(specs->begin(), specs->end(), [&](const auto& spec) { return spec.id() == device_id; }),
      specs->end());
  auto* claimed = guest->mutable_claimed_devices();
  claimed->erase(std::remove_if(claimed->begin(), claimed->end(),
                                [&](const auto& device) { return device.id() == device_id; }),
                 claimed->end());
}

}  // namespace

void NameDevices(v1::GuestSpec* spec) {
  for (int i = 0; i < spec->assigned_devices_size(); ++i) {
    spec->mutable_assigned_devices(i)->set_id(AssignedDeviceId(*spec, i));
  }
}

std::string ClaimedKey(Engine& engine, const std::string& guest_uid, const std::string& device_id) {
  const auto claims = engine.table.Claims();
  if (!claims) return "";
  for (const Claim& claim : *claims) {
    if (claim.guest_uid == guest_uid && claim.device_id == device_id) return claim.device;
  }
  return "";
}

void Quarantine(Engine& engine, const GuestEntry& guest, const std::string& device_id, const std::string& key,
                const Error& why) {
  const auto added =
      engine.quarantine.Add({.device = key,
                             .since_us = TimeUtil::TimestampToMicroseconds(TimeUtil::GetCurrentTime()),
                             .reason = why.reason(),
                             .message = why.message(),
                             .guest = guest.name});
  if (!added) LOG_ERROR("{} of {} cannot be quarantined: {}", key, guest.name, added.error().ToString());
  if (!added || !*added) return;
  LOG_WARNING("{} of {} is quarantined: {}", key, guest.name, why.message());
  v1::Event event;
  event.set_kind(v1::Event::DEVICE_QUARANTINED);
  event.set_guest(guest.name);
  event.set_guest_uid(guest.uid);
  event.set_device(device_id);
  event.set_text(why.message());
  engine.events.Publish(std::move(event));
}

void QuarantineTheLost(Engine& engine, GuestEntry& guest) {
  const v1::Guest shown = guest.Get();
  for (const v1::ClaimedDevice& device : shown.claimed_devices()) {
    const auto address = host::PciAddress::Parse(device.pci_address());
    if (!address) continue;
    const Status answers = engine.host.CheckAnswers(*address);
    if (answers || answers.error().reason() != "DEVICE_LOST") continue;
    const std::string key = ClaimedKey(engine, guest.uid, device.id());
    if (!key.empty()) Quarantine(engine, guest, device.id(), key, answers.error());
  }
}

Status ReleaseDevice(Engine& engine, const GuestPtr& guest, const std::string& device_id,
                     const std::optional<Error>& why) {
  const std::string key = ClaimedKey(engine, guest->uid, device_id);
  QuarantineTheLost(engine, *guest);
  if (why && !key.empty()) Quarantine(engine, *guest, device_id, key, *why);
  if (Status undone = engine.executor.UndoDevice(guest->uid, device_id); !undone) {
    if (!key.empty()) Quarantine(engine, *guest, device_id, key, undone.error());
    return undone;
  }
  std::vector<Claim> claims = TRY(engine.table.Claims());
  std::erase_if(claims, [&](const Claim& claim) {
    return claim.guest_uid != guest->uid || claim.device_id == device_id;
  });
  TRY(engine.book.Change(*guest, [&](StoredGuest& stored) { RemoveDevice(device_id, &stored.guest); }));
  StoredGuest stored;
  {
    MutexLock lock(guest->mutex);
    stored = guest->stored;
  }
  TRY(engine.table.Update(stored, std::move(claims)));
  v1::Event event = EventOf(stored.guest, v1::Event::DEVICE_DETACHED);
  event.set_device(device_id);
  engine.events.Publish(std::move(event));
  return Ok();
}

}  // namespace berth::server

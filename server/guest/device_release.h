// Giving assigned devices back, one by one, and keeping from others what did not come back whole.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "server/guest/engine.h"

namespace berth::server {

// The key of a device that the guest claims (device_key.h); empty if it claims none of this id.
std::string ClaimedKey(Engine& engine, const std::string& guest_uid, const std::string& device_id);

// No guest gets the device any more; those who watch are told. What is said first stays.
void Quarantine(Engine& engine, const GuestEntry& guest, const std::string& device_id, const std::string& key,
                const Error& why);

// Looks at every PCI function that the guest claims and quarantines those that do not answer.
void QuarantineTheLost(Engine& engine, GuestEntry& guest);

// Undoes what was done on the host for a device that is in no machine any more, and takes it out of the
// guest's spec and claims. With `why` it is quarantined; so is one that the host does not take back, which
// also stays the guest's. The caller holds the guest's operation.
Status ReleaseDevice(Engine& engine, const GuestPtr& guest, const std::string& device_id,
                     const std::optional<Error>& why);

// Gives every assigned device of a spec the id that it has by its place in it, so that it keeps it when
// others go.
void NameDevices(v1::GuestSpec* spec);

}  // namespace berth::server

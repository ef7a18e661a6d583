// Volumes that a running guest writes to: its monitor has the image, and does what is to be done.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "server/guest/engine.h"
#include "server/volume/volume_users.h"

namespace berth::server {

std::optional<VolumeUser> FindRunningUser(GuestBook& book, const std::string& volume);

// Asks the guest's monitor, with the guest's operation. BeginOperation's errors, CheckTransition's,
// Vmm::Call's.
Status AskMonitor(Engine& engine, const VolumeUser& user, const std::string& verb, control::Request request);

}  // namespace berth::server

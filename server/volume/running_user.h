// Volumes that a running guest writes to: its monitor has the image, and does what is to be done.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "server/guest/engine.h"
#include "server/volume/volume_users.h"

namespace berth::server {

std::optional<VolumeUser> FindRunningUser(GuestBook& book, const std::string& volume);

// For what the monitor does to an image: its tables are read and written meanwhile.
inline constexpr std::chrono::seconds kImageTimeout{60};

// Does the work, with the guest's operation. BeginOperation's errors, CheckTransition's, and the work's.
Status WorkOnGuest(Engine& engine, const VolumeUser& user, const std::string& verb,
                   const std::function<Status(GuestEntry& guest, Vmm& vmm)>& work);
// Asks the guest's monitor. The same errors, Vmm::Call's among them.
Result<control::Reply> AskMonitor(Engine& engine, const VolumeUser& user, const std::string& verb,
                                  control::Request request);

}  // namespace berth::server

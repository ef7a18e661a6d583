// What the kernel says of devices that come, go and change: NETLINK_KOBJECT_UEVENT.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/unique_fd.h"

namespace berth::host {

struct Uevent {
  std::string action;     // "add", "remove", "change", "bind", "unbind"…
  std::string path;       // Below /sys: "/devices/pci0000:00/0000:00:03.0".
  std::string subsystem;  // "pci", "mdev", "net"…

  friend bool operator==(const Uevent&, const Uevent&) = default;
};

// A message of the kernel's: "ACTION@PATH", then KEY=VALUE, each with a zero byte at its end. None for
// anything else.
std::optional<Uevent> ParseUevent(std::string_view message);

// A non-blocking socket that hears the kernel's (and only its) messages from now on.
Result<UniqueFd> ListenForUevents();
// The next message, passing over what is none; none if there is no more now. RESOURCE_EXHAUSTED,
// UEVENTS_LOST: there were more than the socket could hold; what is to be known must be read afresh.
Result<std::optional<Uevent>> ReceiveUevent(int socket);

}  // namespace berth::host

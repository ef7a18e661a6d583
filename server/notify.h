// Tells a service manager how far we are (systemd's sd_notify protocol: a datagram to the socket in
// NOTIFY_SOCKET).
#pragma once

#include <string_view>

namespace berth::server {

// "READY=1", "STOPPING=1". Does nothing where nobody asked.
void NotifyServiceManager(std::string_view state);

}  // namespace berth::server

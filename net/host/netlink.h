// libnl's socket, messages and errors as ours.
#pragma once

#include <memory>
#include <string_view>

#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include "base/error.h"

namespace berth::net {

using NetlinkSocket = std::unique_ptr<nl_sock, void (*)(nl_sock*)>;
using NetlinkMessage = std::unique_ptr<nl_msg, void (*)(nl_msg*)>;

// A connected rtnetlink socket in the calling thread's network namespace.
Result<NetlinkSocket> OpenRtnetlink();
NetlinkMessage NewMessage(int type, int flags);

// `error` is a negative libnl error, `what` the operation and its object.
Error NetlinkError(int error, std::string_view what);

}  // namespace berth::net

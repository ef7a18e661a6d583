#include "net/host/netlink.h"

#include <linux/netlink.h>

#include <cstdlib>
#include <new>

namespace berth::net {
namespace {

Code CodeOf(int error) {
  switch (std::abs(error)) {
    case NLE_NODEV:
    case NLE_OBJ_NOTFOUND:
      return Code::kNotFound;
    case NLE_EXIST:
      return Code::kAlreadyExists;
    case NLE_PERM:
    case NLE_NOACCESS:
      return Code::kPermissionDenied;
    case NLE_BUSY:
      return Code::kFailedPrecondition;
    case NLE_INVAL:
    case NLE_RANGE:
      return Code::kInvalidArgument;
    case NLE_NOMEM:
      return Code::kResourceExhausted;
    case NLE_OPNOTSUPP:
      return Code::kUnimplemented;
    case NLE_AGAIN:
      return Code::kUnavailable;
    default:
      return Code::kInternal;
  }
}

}  // namespace

Result<NetlinkSocket> OpenRtnetlink() {
  NetlinkSocket socket(::nl_socket_alloc(), ::nl_socket_free);
  if (!socket) return Fail(Code::kResourceExhausted, "no memory for a netlink socket");
  if (const int error = ::nl_connect(socket.get(), NETLINK_ROUTE); error < 0) {
    return Fail(NetlinkError(error, "connect to rtnetlink"));
  }
  return socket;
}

NetlinkMessage NewMessage(int type, int flags) {
  NetlinkMessage message(::nlmsg_alloc_simple(type, flags), ::nlmsg_free);
  if (!message) throw std::bad_alloc();
  return message;
}

Error NetlinkError(int error, std::string_view what) {
  return Error(CodeOf(error), fmt::format("{}: {}", what, ::nl_geterror(error)));
}

}  // namespace berth::net

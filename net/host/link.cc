#include "net/host/link.h"

#include <algorithm>

#include <net/if.h>
#include <netlink/addr.h>
#include <netlink/route/link.h>

#include "net/host/netlink.h"

namespace berth::net {
namespace {

using LinkHandle = std::unique_ptr<rtnl_link, void (*)(rtnl_link*)>;

LinkHandle NewLink() {
  LinkHandle link(::rtnl_link_alloc(), ::rtnl_link_put);
  if (!link) throw std::bad_alloc();
  return link;
}

// By name, or by index where `name` is null.
Result<LinkHandle> GetLink(nl_sock* socket, int index, const char* name) {
  rtnl_link* raw = nullptr;
  const int error = ::rtnl_link_get_kernel(socket, index, name, &raw);
  if (error == 0) return LinkHandle(raw, ::rtnl_link_put);
  const std::string what = name != nullptr ? std::string(name) : fmt::format("with index {}", index);
  if (error != -NLE_NODEV && error != -NLE_OBJ_NOTFOUND) {
    return Fail(NetlinkError(error, fmt::format("look for the network interface {}", what)));
  }
  return Fail(Error(Code::kNotFound, fmt::format("the host has no network interface {}", what))
                  .Reason("INTERFACE_NOT_FOUND")
                  .With("interface", what));
}

const char* OrEmpty(const char* text) { return text != nullptr ? text : ""; }

Link Translate(rtnl_link* handle) {
  Link link{.index = ::rtnl_link_get_ifindex(handle),
            .name = OrEmpty(::rtnl_link_get_name(handle)),
            .kind = OrEmpty(::rtnl_link_get_type(handle)),
            .alias = OrEmpty(::rtnl_link_get_ifalias(handle)),
            .mac = {},
            .mtu = ::rtnl_link_get_mtu(handle),
            .up = (::rtnl_link_get_flags(handle) & IFF_UP) != 0,
            .master = std::max(0, ::rtnl_link_get_master(handle))};
  const nl_addr* mac = ::rtnl_link_get_addr(handle);
  if (mac != nullptr && ::nl_addr_get_len(mac) == link.mac.bytes.size()) {
    const auto* bytes = static_cast<const uint8_t*>(::nl_addr_get_binary_addr(mac));
    std::copy_n(bytes, link.mac.bytes.size(), link.mac.bytes.begin());
  }
  return link;
}

Result<Link> Find(int index, const char* name) {
  const NetlinkSocket socket = TRY(OpenRtnetlink());
  const LinkHandle handle = TRY(GetLink(socket.get(), index, name));
  return Translate(handle.get());
}

}  // namespace

Result<Link> FindLink(const std::string& name) {
  if (!name.empty() && name.size() < IFNAMSIZ) return Find(0, name.c_str());
  return Fail(Error(Code::kNotFound, fmt::format("\"{}\" cannot be a network interface's name", name))
                  .Reason("INTERFACE_NOT_FOUND")
                  .With("interface", name));
}

Result<Link> FindLink(int index) { return Find(index, nullptr); }

Result<Link> FindBridge(const std::string& name) {
  auto link = FindLink(name);
  if (!link && link.error().code() == Code::kNotFound) {
    return Fail(Error(Code::kNotFound, fmt::format("the host has no bridge {}", name))
                    .Reason("BRIDGE_NOT_FOUND")
                    .With("bridge", name));
  }
  if (!link || link->kind == "bridge") return link;
  return Fail(
      Error(Code::kFailedPrecondition, fmt::format("the network interface {} is no bridge but {}", name,
                                                   link->kind.empty() ? "hardware" : "of kind " + link->kind))
          .Reason("NOT_A_BRIDGE")
          .With("bridge", name)
          .With("kind", link->kind));
}

Status ChangeLink(int index, const LinkSettings& settings) {
  const NetlinkSocket socket = TRY(OpenRtnetlink());
  const LinkHandle original = TRY(GetLink(socket.get(), index, nullptr));
  const LinkHandle change = NewLink();
  if (settings.mtu) ::rtnl_link_set_mtu(change.get(), *settings.mtu);
  if (settings.master) ::rtnl_link_set_master(change.get(), *settings.master);
  if (settings.alias) ::rtnl_link_set_ifalias(change.get(), settings.alias->c_str());
  if (settings.mac) {
    const std::unique_ptr<nl_addr, void (*)(nl_addr*)> address(
        ::nl_addr_build(AF_LLC, settings.mac->bytes.data(), settings.mac->bytes.size()), ::nl_addr_put);
    if (!address) throw std::bad_alloc();
    ::rtnl_link_set_addr(change.get(), address.get());
  }
  if (settings.up == true) ::rtnl_link_set_flags(change.get(), IFF_UP);
  if (settings.up == false) ::rtnl_link_unset_flags(change.get(), IFF_UP);
  const int error = ::rtnl_link_change(socket.get(), original.get(), change.get(), 0);
  if (error == 0) return Ok();
  const char* name = OrEmpty(::rtnl_link_get_name(original.get()));
  return Fail(
      NetlinkError(error, fmt::format("change the network interface {}", name)).With("interface", name));
}

Status DeleteLink(int index) {
  const NetlinkSocket socket = TRY(OpenRtnetlink());
  const LinkHandle link = NewLink();
  ::rtnl_link_set_ifindex(link.get(), index);
  const int error = ::rtnl_link_delete(socket.get(), link.get());
  if (error == 0 || error == -NLE_NODEV || error == -NLE_OBJ_NOTFOUND) return Ok();
  return Fail(NetlinkError(error, fmt::format("delete the network interface with index {}", index)));
}

}  // namespace berth::net

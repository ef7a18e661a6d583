#include "net/host/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include <net/if.h>

#include "net/host/link.h"
#include "net/host/stable_hash.h"

namespace berth::net {
namespace {

constexpr uint32_t kLeastMtu = 68, kMostMtu = 65521;  // IPv4's least; TUN's most.

std::string TunPath(const host::HostRoots& roots) { return roots.dev + "/net/tun"; }

Error Invalid(const char* reason, std::string message) {
  return Error(Code::kInvalidArgument, std::move(message)).Reason(reason);
}

Result<UniqueFd> OpenQueue(const host::HostRoots& roots, const TapChange& change, bool first) {
  UniqueFd queue = TRY(Open(TunPath(roots), O_RDWR | O_NONBLOCK));
  ifreq request{};
  std::memcpy(request.ifr_name, change.name.data(),
              std::min(change.name.size(), sizeof(request.ifr_name) - 1));
  int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (change.queues > 1) flags |= IFF_MULTI_QUEUE;
  if (first) flags |= IFF_TUN_EXCL;  // Never a queue of somebody else's interface.
  request.ifr_flags = static_cast<short>(flags);
  if (::ioctl(queue.get(), TUNSETIFF, &request) != 0) {
    return FailErrno(errno, "{} the tap interface {}", first ? "make" : "add a queue to", change.name);
  }
  return queue;
}

// A bridge without an address of its own takes the lowest of its ports': one that starts with fe is never
// that.
MacAddress HostSideMac(const TapChange& change) {
  MacAddress mac = MacAddressFor(change.owner);
  mac.bytes[0] = 0xfe;
  return mac;
}

// A bridge without an address of its own that has no other port takes even that one, and has none when the
// port goes: its neighbours would lose it. One that is told its address keeps it.
Status KeepAddress(const Link& before) {
  const Link now = TRY(FindLink(before.index));
  if (now.mac == before.mac || !before.mac.is_unicast()) return Ok();
  return ChangeLink(before.index, {.mac = before.mac});
}

}  // namespace

std::string TapName(std::string_view owner) {
  constexpr char kDigits[] = "0123456789abcdefghijklmnopqrstuv";
  uint64_t hash = StableHash(owner);
  std::string name = "bt";
  for (int i = 0; i < 12; ++i, hash >>= 5) name += kDigits[hash & 31];
  return name;
}

Result<TapChange> PlanTap(const host::HostRoots& roots, const std::string& owner, const std::string& bridge,
                          int queues, uint32_t mtu) {
  if (queues < 1 || queues > kMaxTapQueues) {
    return Fail(
        Invalid("BAD_TAP_QUEUES", fmt::format("a tap has 1 to {} queues, not {}", kMaxTapQueues, queues))
            .With("queues", std::to_string(queues)));
  }
  if (mtu != 0 && (mtu < kLeastMtu || mtu > kMostMtu)) {
    return Fail(Invalid("BAD_MTU", fmt::format("an MTU is {} to {} bytes, not {}", kLeastMtu, kMostMtu, mtu))
                    .With("mtu", std::to_string(mtu)));
  }
  // 255 bytes: IFALIASZ less its end.
  if (owner.empty() || owner.size() > 255) {
    return Fail(Invalid("BAD_TAP_OWNER", "the owner of a tap has 1 to 255 bytes"));
  }
  if (::access(TunPath(roots).c_str(), R_OK | W_OK) != 0) {
    return Fail(Error(Code::kFailedPrecondition, fmt::format("{}: {}{}", TunPath(roots), std::strerror(errno),
                                                             errno == ENOENT ? " (modprobe tun)" : ""))
                    .Reason("TUN_NOT_AVAILABLE")
                    .With("path", TunPath(roots)));
  }
  TapChange change{.name = TapName(owner), .owner = owner, .queues = queues, .bridge = bridge, .mtu = mtu};
  if (!bridge.empty()) {
    const Link link = TRY(FindBridge(bridge));
    if (mtu == 0) change.mtu = link.mtu;
  }
  const auto existing = FindLink(change.name);
  if (!existing && existing.error().code() == Code::kNotFound) return change;
  if (!existing) return Fail(existing.error());
  return Fail(
      Error(Code::kAlreadyExists, fmt::format("there is a network interface {} already, owned by \"{}\"",
                                              change.name, existing->alias))
          .Reason("TAP_EXISTS")
          .With("interface", change.name)
          .With("owner", existing->alias));
}

Result<Tap> CreateTap(const host::HostRoots& roots, const TapChange& change) {
  // On every way out but the last, closing the queues removes the interface.
  Tap tap{.name = change.name};
  for (int i = 0; i < change.queues; ++i) tap.queues.push_back(TRY(OpenQueue(roots, change, i == 0)));
  const Link link = TRY(FindLink(change.name));
  tap.interface_index = link.index;
  LinkSettings settings{.up = true, .mac = HostSideMac(change), .alias = change.owner};
  if (change.mtu != 0) settings.mtu = change.mtu;
  Link bridge;
  if (!change.bridge.empty()) {
    bridge = TRY(FindBridge(change.bridge));
    settings.master = bridge.index;
  }
  TRY(ChangeLink(link.index, settings));
  if (!change.bridge.empty()) TRY(KeepAddress(bridge));
  tap.mtu = TRY(FindLink(link.index)).mtu;
  return tap;
}

Status RemoveTap(const TapChange& change) {
  const auto link = FindLink(change.name);
  if (!link) return link.error().code() == Code::kNotFound ? Ok() : Fail(link.error());
  if (link->kind != "tun" || link->alias != change.owner) return Ok();
  return DeleteLink(link->index);
}

Result<std::vector<UniqueFd>> OpenVhostNet(const host::HostRoots& roots, int queues) {
  const std::string path = roots.dev + "/vhost-net";
  if (queues < 1 || queues > kMaxTapQueues) {
    return Fail(
        Invalid("BAD_TAP_QUEUES", fmt::format("a tap has 1 to {} queues, not {}", kMaxTapQueues, queues))
            .With("queues", std::to_string(queues)));
  }
  std::vector<UniqueFd> files;
  for (int i = 0; i < queues; ++i) {
    auto file = Open(path, O_RDWR);
    if (!file) {
      return Fail(
          Error(Code::kFailedPrecondition,
                fmt::format("vhost-net is not available: {} (modprobe vhost_net)", file.error().message()))
              .Reason("VHOST_NET_NOT_AVAILABLE")
              .With("path", path));
    }
    files.push_back(*std::move(file));
  }
  return files;
}

}  // namespace berth::net

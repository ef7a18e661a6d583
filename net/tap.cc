#include "net/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <string>

#include <net/if.h>

namespace berth::net {
namespace {

unsigned TunFlags(const Offloads& offloads) {
  if (!offloads.checksum) return 0;
  return TUN_F_CSUM | (offloads.tso4 ? TUN_F_TSO4 : 0) | (offloads.tso6 ? TUN_F_TSO6 : 0) |
         (offloads.tso_ecn ? TUN_F_TSO_ECN : 0) | (offloads.ufo ? TUN_F_UFO : 0);
}

class TapQueue final : public PacketQueue {
 public:
  TapQueue(UniqueFd fd, bool multi_queue) : fd_(std::move(fd)), multi_queue_(multi_queue) {}

  int fd() const override { return fd_.get(); }

  ssize_t Receive(std::span<const iovec> pieces) override {
    const ssize_t size = ::readv(fd_.get(), pieces.data(), static_cast<int>(pieces.size()));
    return size < 0 ? -errno : size;
  }

  ssize_t Send(std::span<const iovec> pieces) override {
    const ssize_t size = ::writev(fd_.get(), pieces.data(), static_cast<int>(pieces.size()));
    return size < 0 ? -errno : size;
  }

  Status SetOffloads(const Offloads& offloads) override {
    if (::ioctl(fd_.get(), TUNSETOFFLOAD, TunFlags(offloads)) != 0)
      return FailErrno(errno, "set a tap's offloads");
    return Ok();
  }

  // A tap without IFF_MULTI_QUEUE has one queue, always there.
  Status SetEnabled(bool enabled) override {
    if (!multi_queue_ || enabled == enabled_) return Ok();
    ifreq request{};
    request.ifr_flags = enabled ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
    if (::ioctl(fd_.get(), TUNSETQUEUE, &request) != 0) {
      return FailErrno(errno, "{} a queue of a tap", enabled ? "attach" : "detach");
    }
    enabled_ = enabled;
    return Ok();
  }

 private:
  const UniqueFd fd_;
  const bool multi_queue_;
  bool enabled_ = true;
};

// Makes `fd` ready, and returns its interface's name.
Result<std::string> Prepare(int fd, bool multi_queue) {
  ifreq request{};
  if (::ioctl(fd, TUNGETIFF, &request) != 0) {
    return Fail(Code::kInvalidArgument, "a descriptor that was passed as a tap is not attached to one ({})",
                std::strerror(errno));
  }
  const std::string name(request.ifr_name, ::strnlen(request.ifr_name, IFNAMSIZ));
  const auto flags = static_cast<unsigned short>(request.ifr_flags);
  if ((flags & IFF_TAP) == 0 || (flags & IFF_VNET_HDR) == 0 || (flags & IFF_NO_PI) == 0) {
    return Fail(Code::kInvalidArgument, "{} is no tap with IFF_NO_PI and IFF_VNET_HDR (its flags are {:#x})",
                name, flags);
  }
  if (multi_queue && (flags & IFF_MULTI_QUEUE) == 0) {
    return Fail(Code::kInvalidArgument, "{} has one queue (no IFF_MULTI_QUEUE), and several were passed",
                name);
  }
  const int status_flags = ::fcntl(fd, F_GETFL);
  if (status_flags < 0 || ::fcntl(fd, F_SETFL, status_flags | O_NONBLOCK) != 0) {
    return FailErrno(errno, "make {} non-blocking", name);
  }
  int size = kVnetHeaderSize;
  if (::ioctl(fd, TUNSETVNETHDRSZ, &size) != 0) return FailErrno(errno, "set the header size of {}", name);
  return name;
}

// The kernel takes or refuses a combination as a whole; what it has refused since when differs.
Offloads ProbeOffloads(PacketQueue* queue) {
  constexpr Offloads kCandidates[] = {
      {.checksum = true, .tso4 = true, .tso6 = true, .tso_ecn = true, .ufo = true},
      {.checksum = true, .tso4 = true, .tso6 = true, .tso_ecn = true},
      {.checksum = true, .tso4 = true, .tso6 = true},
      {.checksum = true},
  };
  for (const Offloads& candidate : kCandidates) {
    if (queue->SetOffloads(candidate)) return candidate;
  }
  return {};
}

}  // namespace

Result<TapInterface> OpenTap(std::vector<UniqueFd> fds) {
  if (fds.empty()) return Fail(Code::kInvalidArgument, "no tap was passed");
  const bool multi_queue = fds.size() > 1;
  TapInterface tap;
  std::string interface;
  for (UniqueFd& fd : fds) {
    std::string name = TRY(Prepare(fd.get(), multi_queue));
    if (!tap.queues.empty() && name != interface) {
      return Fail(Code::kInvalidArgument, "taps of two interfaces, {} and {}, make no NIC", interface, name);
    }
    interface = std::move(name);
    tap.queues.push_back(std::make_unique<TapQueue>(std::move(fd), multi_queue));
    if (tap.queues.size() > 1) TRY(tap.queues.back()->SetEnabled(false));
  }
  tap.offloads = ProbeOffloads(tap.queues[0].get());
  TRY(tap.queues[0]->SetOffloads({}));
  return tap;
}

}  // namespace berth::net

// vhost-net: the kernel moves packets between a tap and a pair of queues in guest memory by itself
// (linux/vhost.h).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/error.h"
#include "base/unique_fd.h"

namespace berth::net {

// A run of guest memory, and where this process has it.
struct VhostRange {
  uint64_t guest_address = 0;
  uint64_t size = 0;
  uint64_t user_address = 0;
};

// A split queue: its areas are addresses of this process.
struct VhostRing {
  uint16_t size = 0;
  uint16_t available_index = 0;  // Where to begin.
  uint64_t descriptor_area = 0;
  uint64_t driver_area = 0;
  uint64_t device_area = 0;
  int kick_fd = -1;  // The driver's doorbell; read by the kernel while it runs.
  int call_fd = -1;  // Interrupts the driver; -1: never.
};

// VHOST_MEMORY_MAX_NREGIONS of the kernel, unless its module is told otherwise.
inline constexpr size_t kMaxVhostRanges = 64;

// One pair of queues. Threads: one user at a time.
class VhostNet {
 public:
  // ioctl(2), but with a negative errno value for failures. Another one is for tests.
  using Ioctl = std::function<int(int fd, unsigned long request, void* argument)>;

  // Takes over an unused descriptor of /dev/vhost-net and makes this process its owner: a kernel thread works
  // with this process's memory from now on.
  static Result<std::unique_ptr<VhostNet>> Open(UniqueFd fd, Ioctl ioctl = {});
  // Stops.
  ~VhostNet();

  // Virtio features the kernel can serve.
  uint64_t features() const { return features_; }

  // Starts moving packets between `tap_fd` and the rings (0 receives, 1 transmits), with those of `features`
  // that concern the kernel. After a failure nothing runs.
  Status Start(uint64_t features, std::span<const VhostRange> memory, const std::array<VhostRing, 2>& rings,
               int tap_fd);
  // When it returns, the kernel touches neither the rings nor guest memory.
  void Stop();

  // Signalled when the kernel gives up on a ring.
  int error_fd() const { return error_.get(); }

 private:
  VhostNet(UniqueFd fd, UniqueFd error, Ioctl ioctl)
      : fd_(std::move(fd)), error_(std::move(error)), ioctl_(std::move(ioctl)) {}
  Status Call(unsigned long request, void* argument, const char* what);
  Status SetMemory(std::span<const VhostRange> memory);
  Status SetRing(unsigned index, const VhostRing& ring);

  const UniqueFd fd_;
  const UniqueFd error_;
  const Ioctl ioctl_;
  uint64_t features_ = 0;
  bool started_ = false;
};

}  // namespace berth::net

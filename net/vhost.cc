#include "net/vhost.h"

#define VIRTIO_RING_NO_LEGACY  // What it leaves out is not C++.
#include <linux/vhost.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <vector>

namespace berth::net {
namespace {

// Offered by vhost as if they were virtio's: headers that the tap has already, and an IOTLB.
constexpr uint64_t kVhostOnlyFeatures = 1ull << VHOST_NET_F_VIRTIO_NET_HDR | 1ull << VIRTIO_F_ACCESS_PLATFORM;
constexpr unsigned kRings = 2;

int SystemIoctl(int fd, unsigned long request, void* argument) {
  const int result = ::ioctl(fd, request, argument);
  return result < 0 ? -errno : result;
}

}  // namespace

Result<std::unique_ptr<VhostNet>> VhostNet::Open(UniqueFd fd, Ioctl ioctl) {
  UniqueFd error = TRY(CreateEventFd());
  std::unique_ptr<VhostNet> vhost(
      new VhostNet(std::move(fd), std::move(error), ioctl ? std::move(ioctl) : SystemIoctl));
  TRY(vhost->Call(VHOST_SET_OWNER, nullptr, "own a vhost-net device"));
  TRY(vhost->Call(VHOST_GET_FEATURES, &vhost->features_, "ask vhost-net's features"));
  vhost->features_ &= ~kVhostOnlyFeatures;
  return vhost;
}

VhostNet::~VhostNet() { Stop(); }

Status VhostNet::Call(unsigned long request, void* argument, const char* what) {
  const int result = ioctl_(fd_.get(), request, argument);
  if (result < 0) return Fail(SystemError(-result, what));
  return Ok();
}

Status VhostNet::Start(uint64_t features, std::span<const VhostRange> memory,
                       const std::array<VhostRing, 2>& rings, int tap_fd) {
  started_ = true;  // Stop undoes whatever part of this succeeded.
  Status started = [&]() -> Status {
    uint64_t accepted = features & features_;
    TRY(Call(VHOST_SET_FEATURES, &accepted, "set vhost-net's features"));
    TRY(SetMemory(memory));
    for (unsigned i = 0; i < kRings; ++i) TRY(SetRing(i, rings[i]));
    for (unsigned i = 0; i < kRings; ++i) {
      vhost_vring_file backend{.index = i, .fd = tap_fd};
      TRY(Call(VHOST_NET_SET_BACKEND, &backend, "connect vhost-net to a tap"));
    }
    return Ok();
  }();
  if (!started) Stop();
  return started;
}

void VhostNet::Stop() {
  if (!std::exchange(started_, false)) return;
  // Taking the backend away waits for what the kernel is doing.
  for (unsigned i = 0; i < kRings; ++i) {
    vhost_vring_file none{.index = i, .fd = -1};
    ioctl_(fd_.get(), VHOST_NET_SET_BACKEND, &none);
    ioctl_(fd_.get(), VHOST_SET_VRING_KICK, &none);
    ioctl_(fd_.get(), VHOST_SET_VRING_CALL, &none);
    ioctl_(fd_.get(), VHOST_SET_VRING_ERR, &none);
  }
}

Status VhostNet::SetMemory(std::span<const VhostRange> memory) {
  if (memory.size() > kMaxVhostRanges) {
    return Fail(Code::kResourceExhausted, "guest memory in {} pieces; vhost-net takes {}", memory.size(),
                kMaxVhostRanges);
  }
  // struct vhost_memory: a count, and as many regions.
  std::vector<uint64_t> table((sizeof(vhost_memory) + memory.size() * sizeof(vhost_memory_region)) /
                              sizeof(uint64_t));
  auto* const header = reinterpret_cast<vhost_memory*>(table.data());
  header->nregions = static_cast<uint32_t>(memory.size());
  for (size_t i = 0; i < memory.size(); ++i) {
    header->regions[i] = {.guest_phys_addr = memory[i].guest_address,
                          .memory_size = memory[i].size,
                          .userspace_addr = memory[i].user_address,
                          .flags_padding = 0};
  }
  return Call(VHOST_SET_MEM_TABLE, header, "show guest memory to vhost-net");
}

Status VhostNet::SetRing(unsigned index, const VhostRing& ring) {
  vhost_vring_state size{.index = index, .num = ring.size};
  TRY(Call(VHOST_SET_VRING_NUM, &size, "set the size of a ring of vhost-net"));
  vhost_vring_state base{.index = index, .num = ring.available_index};
  TRY(Call(VHOST_SET_VRING_BASE, &base, "set the start of a ring of vhost-net"));
  vhost_vring_addr addresses{.index = index,
                             .flags = 0,
                             .desc_user_addr = ring.descriptor_area,
                             .used_user_addr = ring.device_area,
                             .avail_user_addr = ring.driver_area,
                             .log_guest_addr = 0};
  TRY(Call(VHOST_SET_VRING_ADDR, &addresses, "set the addresses of a ring of vhost-net"));
  vhost_vring_file error{.index = index, .fd = error_.get()};
  TRY(Call(VHOST_SET_VRING_ERR, &error, "connect a ring of vhost-net"));
  vhost_vring_file call{.index = index, .fd = ring.call_fd};
  TRY(Call(VHOST_SET_VRING_CALL, &call, "connect a ring of vhost-net to its interrupt"));
  vhost_vring_file kick{.index = index, .fd = ring.kick_fd};
  return Call(VHOST_SET_VRING_KICK, &kick, "connect a ring of vhost-net to its doorbell");
}

}  // namespace berth::net

#include "tests/fakes/fake_vhost.h"

#define VIRTIO_RING_NO_LEGACY
#include <linux/vhost.h>

#include <cerrno>

namespace berth::net {

Result<std::unique_ptr<VhostNet>> FakeVhost::Open() {
  return VhostNet::Open(TRY(CreateEventFd()), [this](int, unsigned long request, void* argument) {
    return Call(request, argument);
  });
}

int FakeVhost::Call(unsigned long request, void* argument) {
  requests.push_back(request);
  if (const auto refused = refuse.find(request); refused != refuse.end()) return -refused->second;
  const auto* const state = static_cast<vhost_vring_state*>(argument);
  const auto* const file = static_cast<vhost_vring_file*>(argument);
  const auto* const addresses = static_cast<vhost_vring_addr*>(argument);
  switch (request) {
    case VHOST_SET_OWNER:
      if (owned) return -EBUSY;
      owned = true;
      return 0;
    case VHOST_GET_FEATURES:
      *static_cast<uint64_t*>(argument) = offered;
      return 0;
    case VHOST_SET_FEATURES:
      features = *static_cast<uint64_t*>(argument);
      return (features & ~offered) != 0 ? -EOPNOTSUPP : 0;
    case VHOST_SET_MEM_TABLE: {
      const auto* const table = static_cast<vhost_memory*>(argument);
      memory.clear();
      for (uint32_t i = 0; i < table->nregions; ++i) {
        const vhost_memory_region& region = table->regions[i];
        memory.push_back({region.guest_phys_addr, region.memory_size, region.userspace_addr});
      }
      return 0;
    }
    case VHOST_SET_VRING_NUM:
      rings[state->index].size = state->num;
      return 0;
    case VHOST_SET_VRING_BASE:
      rings[state->index].base = state->num;
      return 0;
    case VHOST_SET_VRING_ADDR:
      rings[addresses->index].descriptors = addresses->desc_user_addr;
      rings[addresses->index].available = addresses->avail_user_addr;
      rings[addresses->index].used = addresses->used_user_addr;
      return 0;
    case VHOST_SET_VRING_KICK:
      rings[file->index].kick = file->fd;
      return 0;
    case VHOST_SET_VRING_CALL:
      rings[file->index].call = file->fd;
      return 0;
    case VHOST_SET_VRING_ERR:
      rings[file->index].error = file->fd;
      return 0;
    case VHOST_NET_SET_BACKEND:
      rings[file->index].backend = file->fd;
      return 0;
    default:
      return -ENOTTY;
  }
}

}  // namespace berth::net

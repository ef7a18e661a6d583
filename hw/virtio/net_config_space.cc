#include "hw/virtio/net_config_space.h"

#include <algorithm>
#include <cstring>

namespace berth::hw {

void NetConfigSpace::Read(uint32_t offset, std::span<uint8_t> bytes) const {
  const NetConfig config = Get();
  std::memset(bytes.data(), 0, bytes.size());
  if (offset >= sizeof(config)) return;
  std::memcpy(bytes.data(), reinterpret_cast<const uint8_t*>(&config) + offset,
              std::min<size_t>(bytes.size(), sizeof(config) - offset));
}

NetConfig NetConfigSpace::Get() const {
  MutexLock lock(mutex_);
  return config_;
}

void NetConfigSpace::SetMacAddress(const MacAddress& mac) {
  MutexLock lock(mutex_);
  config_.mac = mac;
}

bool NetConfigSpace::ChangeStatus(uint16_t set, uint16_t clear) {
  MutexLock lock(mutex_);
  const auto status = static_cast<uint16_t>((config_.status & ~clear) | set);
  const bool changed = status != config_.status;
  config_.status = status;
  return changed;
}

}  // namespace berth::hw

// The configuration of a virtio NIC, which vCPU threads read while the device's loop changes it. VIRTIO 1.2
// section 5.1.4.
#pragma once

#include <cstdint>
#include <span>

#include "base/mutex.h"
#include "hw/virtio/net_config.h"

namespace berth::hw {

// Any thread.
class NetConfigSpace {
 public:
  explicit NetConfigSpace(const NetConfig& config) : config_(config) {}

  // Bytes beyond the end read as zeroes.
  void Read(uint32_t offset, std::span<uint8_t> bytes) const EXCLUDES(mutex_);
  NetConfig Get() const EXCLUDES(mutex_);
  void SetMacAddress(const MacAddress& mac) EXCLUDES(mutex_);
  // Sets and clears bits of `status`; whether that changed it.
  bool ChangeStatus(uint16_t set, uint16_t clear) EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  NetConfig config_ GUARDED_BY(mutex_);
};

}  // namespace berth::hw

#include "tests/fakes/fake_driver.h"

#include "hw/virtio/device.h"

namespace berth::hw {

std::unique_ptr<FakeDriver> FakeDriver::Create(FakeRam* ram, uint16_t size, uint64_t features) {
  if (features & kVirtioRingPacked) return std::make_unique<FakePackedDriver>(ram, size, features);
  return std::make_unique<FakeSplitDriver>(ram, size, features);
}

}  // namespace berth::hw

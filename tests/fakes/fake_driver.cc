#include "tests/fakes/fake_driver.h"

#include "hw/virtio/device.h"

namespace berth::hw {

std::unique_ptr<FakeDriver> FakeDriver::Create(FakeRam* ram, uint16_t size, uint64_t features) {
  CHECK((features & kVirtioRingPacked) == 0);
  return std::make_unique<FakeSplitDriver>(ram, size, features);
}

}  // namespace berth::hw

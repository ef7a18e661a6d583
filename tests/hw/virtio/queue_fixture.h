// A queue with its driver, for the tests of both ring formats.
#pragma once

#include <gtest/gtest.h>

#include "hw/virtio/device.h"
#include "tests/fakes/fake_driver.h"

namespace berth::hw {

struct QueuePair {
  explicit QueuePair(uint64_t features, uint16_t size = 8)
      : driver(FakeDriver::Create(&ram, size, features)),
        kick(*CreateEventFd()),
        call(*CreateEventFd()),
        queue(*VirtQueue::Create(&ram.memory(), driver->layout(), features, kick.get(), call.get())) {}

  // The chain that must be there.
  DescriptorChain Pop() {
    Result<std::optional<DescriptorChain>> chain = queue->Pop();
    EXPECT_TRUE(chain) << chain.error().message();
    EXPECT_TRUE(chain && chain->has_value()) << "nothing available";
    return chain && chain->has_value() ? **chain : DescriptorChain{};
  }
  bool Empty() {
    Result<std::optional<DescriptorChain>> chain = queue->Pop();
    return chain && !chain->has_value();
  }
  // The message of the error that must come, now and ever after.
  std::string Broken() {
    Result<std::optional<DescriptorChain>> chain = queue->Pop();
    EXPECT_FALSE(chain);
    EXPECT_FALSE(queue->Pop());
    return chain ? "" : chain.error().message();
  }
  bool Interrupted() { return DrainEventFd(call.get()) != 0; }

  FakeRam ram;
  std::unique_ptr<FakeDriver> driver;
  UniqueFd kick, call;
  std::unique_ptr<VirtQueue> queue;
};

}  // namespace berth::hw

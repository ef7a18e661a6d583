// One fake device, opened through a container and a group of its own.
#pragma once

#include <gmock/gmock.h>

#include "tests/fakes/fake_vfio.h"
#include "vfio/device.h"

namespace berth::vfio {

struct VfioDeviceFixture : testing::Test {
  // Opens the device as `fake` stands.
  void Open() {
    container = std::move(*Type1Container::Create(kernel.OpenContainer(), kernel));
    auto group = Group::Create(kernel.OpenGroup("7"), container.get(), nullptr, kernel);
    ASSERT_TRUE(group) << group.error().message();
    auto opened = Device::Open(std::move(*group), "0000:01:00.0");
    ASSERT_TRUE(opened) << opened.error().message();
    device = std::move(*opened);
  }

  FakeVfio kernel;
  FakeVfioDevice& fake = kernel.AddDevice("7", "0000:01:00.0");
  std::unique_ptr<Type1Container> container;
  std::unique_ptr<Device> device;
};

}  // namespace berth::vfio

#include "vfio/group.h"

#include <linux/vfio.h>

#include <cerrno>

#include <gmock/gmock.h>

#include "tests/fakes/fake_vfio.h"
#include "vfio/device.h"

namespace berth::vfio {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Recorder final : GroupObserver {
  Status GroupAdded(int) override {
    events.push_back(kernel->Count(VFIO_GROUP_GET_DEVICE_FD) == 0 ? "added before any device" : "added late");
    return refuse ? Status(Fail(Code::kInternal, "no")) : Ok();
  }
  void GroupRemoved(int) override {
    events.push_back(kernel->Count(VFIO_GROUP_UNSET_CONTAINER) == 0 ? "removed first" : "removed late");
  }
  FakeVfio* kernel = nullptr;
  bool refuse = false;
  std::vector<std::string> events;
};

struct GroupTest : testing::Test {
  void SetUp() override {
    recorder.kernel = &kernel;
    kernel.AddDevice("7", "0000:01:00.0");
    container = std::move(*Type1Container::Create(kernel.OpenContainer(), kernel));
  }
  Result<std::shared_ptr<Group>> Create() {
    return Group::Create(kernel.OpenGroup("7"), container.get(), &recorder, kernel);
  }

  FakeVfio kernel;
  Recorder recorder;
  std::unique_ptr<Type1Container> container;
};

// docs/assigned-devices.md, 5 and 6: KVM knows of the group before a device of it is opened.
TEST_F(GroupTest, TellsTheObserverBeforeDevicesOpenAndAfterTheyClose) {
  auto group = Create();
  ASSERT_TRUE(group);
  auto device = Device::Open(std::move(*group), "0000:01:00.0");
  ASSERT_TRUE(device) << device.error().message();
  EXPECT_TRUE(kernel.group("7").in_container);
  device->reset();
  EXPECT_FALSE(kernel.group("7").in_container);
  EXPECT_THAT(recorder.events, ElementsAre("added before any device", "removed first"));
}

TEST_F(GroupTest, StaysWhileOneOfItsDevicesIsOpen) {
  kernel.AddDevice("7", "0000:01:00.1");
  std::shared_ptr<Group> group = std::move(*Create());
  auto first = std::move(*Device::Open(group, "0000:01:00.0"));
  auto second = std::move(*Device::Open(std::move(group), "0000:01:00.1"));
  first.reset();
  EXPECT_TRUE(kernel.group("7").in_container);
  second.reset();
  EXPECT_FALSE(kernel.group("7").in_container);
}

// docs/assigned-devices.md, 1: viable is one bit among flags (the fake sets another one, too).
TEST_F(GroupTest, ANonViableGroupIsRefused) {
  kernel.group("7").viable = false;
  const auto group = Create();
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().reason(), "GROUP_NOT_VIABLE");
  EXPECT_THAT(recorder.events, ElementsAre());
}

TEST_F(GroupTest, AnObserverThatRefusesUndoesTheRest) {
  recorder.refuse = true;
  EXPECT_FALSE(Create());
  EXPECT_FALSE(kernel.group("7").in_container);
  EXPECT_THAT(recorder.events, ElementsAre("added before any device"));
}

TEST_F(GroupTest, AGroupInAnotherContainerIsRefused) {
  kernel.group("7").in_container = true;
  EXPECT_THAT(Create().error().message(), HasSubstr("in a container already"));
}

// docs/assigned-devices.md, 2: opening a device is tried again while the host holds its lock.
TEST_F(GroupTest, ABusyDeviceIsTriedAgain) {
  kernel.group("7").busy_opens = 3;
  std::shared_ptr<Group> group = std::move(*Create());
  EXPECT_TRUE(Device::Open(group, "0000:01:00.0"));
  EXPECT_EQ(kernel.Count(VFIO_GROUP_GET_DEVICE_FD), 4);
  EXPECT_GT(kernel.paused.count(), 0);
}

TEST_F(GroupTest, ADeviceThatStaysBusyIsGivenUp) {
  kernel.group("7").busy_opens = 1000;
  std::shared_ptr<Group> group = std::move(*Create());
  EXPECT_EQ(Device::Open(group, "0000:01:00.0").error().code(), Code::kUnavailable);
  EXPECT_LE(kernel.Count(VFIO_GROUP_GET_DEVICE_FD), 100);
}

TEST_F(GroupTest, AnUnknownDeviceIsNotFound) {
  std::shared_ptr<Group> group = std::move(*Create());
  EXPECT_EQ(Device::Open(group, "0000:02:00.0").error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace berth::vfio

#include "vfio/function_reset.h"

#include <linux/vfio.h>

#include <cerrno>

#include "tests/vfio/vfio_device_fixture.h"

namespace berth::vfio {
namespace {

using Write = FakeVfioDevice::ConfigWrite;
using testing::ElementsAre;

struct FunctionResetTest : VfioDeviceFixture {
  void Open() {
    VfioDeviceFixture::Open();
    config = std::make_unique<DeviceRegion>(device.get(), *device->Region(VFIO_PCI_CONFIG_REGION_INDEX));
  }
  std::unique_ptr<DeviceRegion> config;
};

// docs/assigned-devices.md, 31: awake and quiet first, then the reset.
TEST_F(FunctionResetTest, WakesQuietensAndResets) {
  fake.SetConfig<uint16_t>(0x04, 0x0547);
  fake.SetConfig<uint16_t>(0x44, 0x0003);  // D3hot.
  Open();
  const auto how = ResetDevice(*device, config.get(), {.power_capability = 0x40});
  ASSERT_TRUE(how);
  EXPECT_EQ(*how, "function");
  EXPECT_THAT(fake.config_writes, ElementsAre(Write{0x44, 0, 2}, Write{0x04, 0x0140, 2}));
  EXPECT_EQ(fake.resets, 1);
}

TEST_F(FunctionResetTest, ResetsTheBusOfAFunctionThatIsAloneThere) {
  fake.resettable = false;
  fake.dependents = {{.group = 7, .bus = 1}};
  Open();
  EXPECT_EQ(ResetDevice(*device, config.get(), {}), "bus");
  EXPECT_EQ(fake.hot_resets, 1);
}

TEST_F(FunctionResetTest, LeavesABusToItsOtherFunctions) {
  fake.resettable = false;
  fake.dependents = {{.group = 7, .bus = 1}, {.group = 8, .bus = 1, .devfn = 1}};
  Open();
  EXPECT_EQ(ResetDevice(*device, config.get(), {}), "none");
  EXPECT_EQ(fake.hot_resets, 0);
}

// Two functions of one bus, neither of which can be reset alone, in one machine.
struct ResetOfNeighboursTest : FunctionResetTest {
  void SetUp() override {
    fake.resettable = false;
    fake.dependents = {{.group = 7, .bus = 1}, {.group = 8, .bus = 1, .devfn = 1}};
    Open();
    kernel.AddDevice("8", "0000:01:00.1");
    other = std::move(*Device::Open(
        std::move(*Group::Create(kernel.OpenGroup("8"), container.get(), nullptr, kernel)), "0000:01:00.1"));
    neighbours.Add(device.get(), &quiet);
  }
  Result<std::string_view> Reset() { return ResetDevice(*device, config.get(), {.neighbours = &neighbours}); }

  std::unique_ptr<Device> other;
  ResetNeighbours neighbours;
  std::atomic<bool> quiet = false, other_quiet = true;
};

// docs/assigned-devices.md, 31.
TEST_F(ResetOfNeighboursTest, AreResetTogetherWhenTheOtherIsQuiet) {
  neighbours.Add(other.get(), &other_quiet);
  EXPECT_EQ(Reset(), "bus");
  EXPECT_EQ(fake.hot_resets, 1);
  EXPECT_EQ(fake.hot_reset_groups, 2u);
}

TEST_F(ResetOfNeighboursTest, WaitForTheLastOfThem) {
  other_quiet = false;
  neighbours.Add(other.get(), &other_quiet);
  EXPECT_EQ(Reset(), "later");
  EXPECT_EQ(fake.hot_resets, 0);
}

TEST_F(ResetOfNeighboursTest, NeverTouchWhatIsNotTheMachines) {
  neighbours.Add(other.get(), &other_quiet);
  neighbours.Remove(other.get());
  EXPECT_EQ(Reset(), "none");
  EXPECT_EQ(fake.hot_resets, 0);
}

TEST_F(FunctionResetTest, FallsBackWhenTheFunctionsOwnFails) {
  fake.reset_errno = EINVAL;
  fake.dependents = {{.group = 7, .bus = 1}};
  Open();
  EXPECT_EQ(ResetDevice(*device, config.get(), {}), "bus");
}

TEST_F(FunctionResetTest, WaitsForTheDeviceToComeBack) {
  fake.dead_after_reset = 3;
  Open();
  EXPECT_TRUE(ResetDevice(*device, config.get(), {}));
  EXPECT_GE(kernel.paused, std::chrono::milliseconds(200));
}

// docs/assigned-devices.md, 31: some devices read as ones for good after their reset.
TEST_F(FunctionResetTest, ADeviceThatDoesNotComeBackIsLost) {
  fake.dead_after_reset = 1000;
  Open();
  EXPECT_EQ(ResetDevice(*device, config.get(), {}).error().reason(), "DEVICE_LOST");
  EXPECT_LE(kernel.paused, std::chrono::seconds(2));
}

TEST_F(FunctionResetTest, ADeviceThatAResetKillsIsOnlyMadeQuiet) {
  fake.SetConfig<uint16_t>(0x04, 7);
  Open();
  EXPECT_EQ(ResetDevice(*device, config.get(), {.skip = true}), "none");
  EXPECT_EQ(fake.resets, 0);
  EXPECT_EQ(fake.Config<uint16_t>(0x04), 0);
}

}  // namespace
}  // namespace berth::vfio

#include "vfio/express_capability.h"

#include <gmock/gmock.h>

#include "hw/pci/pci_registers.h"
#include "tests/fakes/fake_vfio_device.h"

namespace berth::vfio {
namespace {

namespace pci = hw::pci;
constexpr uint16_t kAt = 0x70;

// What the guest reads from the capability's register at `reg`.
struct ExpressTest : testing::Test {
  Result<ExpressVerdict> Fit(uint8_t type, bool behind_root_port) {
    device.AddExpress(kAt, type);
    return FitExpressCapability(device.config, kAt, behind_root_port, &overlay);
  }
  template <typename T>
  T Seen(uint16_t reg) {
    return static_cast<T>(overlay.Merge(kAt + reg, sizeof(T), device.Config<T>(kAt + reg)));
  }
  uint8_t Type() { return static_cast<uint8_t>(Seen<uint16_t>(2) >> 4 & 0xf); }

  FakeVfioDevice device;
  ConfigOverlay overlay;
};

// docs/assigned-devices.md, 20: the type follows the place.
TEST_F(ExpressTest, AnEndpointBelowARootPortStaysAsItIs) {
  EXPECT_EQ(Fit(pci::kExpressEndpoint, true), ExpressVerdict::kShow);
  EXPECT_EQ(Type(), pci::kExpressEndpoint);
  EXPECT_EQ(Seen<uint32_t>(0x0c), 0x43u);
}

TEST_F(ExpressTest, AnEndpointUnderTheHostBridgeIsIntegratedAndHasNoLink) {
  EXPECT_EQ(Fit(pci::kExpressEndpoint, false), ExpressVerdict::kShow);
  EXPECT_EQ(Type(), pci::kExpressIntegratedEndpoint);
  EXPECT_EQ(Seen<uint32_t>(0x0c), 0u);
  EXPECT_EQ(Seen<uint16_t>(0x12), 0u);
  EXPECT_EQ(Seen<uint16_t>(2) & 0xf, 2u);
}

TEST_F(ExpressTest, AnIntegratedOneBelowARootPortGetsALink) {
  EXPECT_EQ(Fit(pci::kExpressIntegratedEndpoint, true), ExpressVerdict::kShow);
  EXPECT_EQ(Type(), pci::kExpressEndpoint);
  EXPECT_EQ(Seen<uint32_t>(0x0c), 0x11u);
  EXPECT_EQ(Seen<uint16_t>(0x12), 0x11u);
}

TEST_F(ExpressTest, ALegacyEndpointIsNeverIntegrated) {
  EXPECT_EQ(Fit(pci::kExpressLegacyEndpoint, false), ExpressVerdict::kHide);
}

TEST_F(ExpressTest, PortsAreRefused) {
  EXPECT_EQ(Fit(pci::kExpressRootPort, true).error().code(), Code::kUnimplemented);
}

TEST_F(ExpressTest, VersionZeroIsOne) {
  device.AddExpress(kAt, pci::kExpressEndpoint);
  device.SetConfig<uint16_t>(kAt + 2, 0);
  ASSERT_TRUE(FitExpressCapability(device.config, kAt, true, &overlay));
  EXPECT_EQ(Seen<uint16_t>(2) & 0xf, 1u);
}

TEST_F(ExpressTest, OneThatDoesNotFitIsHidden) {
  EXPECT_EQ(FitExpressCapability(device.config, 0xf0, true, &overlay), ExpressVerdict::kHide);
  EXPECT_EQ(FitExpressCapability(std::span(device.config).first(0x80), kAt, true, &overlay),
            ExpressVerdict::kHide);
}

}  // namespace
}  // namespace berth::vfio

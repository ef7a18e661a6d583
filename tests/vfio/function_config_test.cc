#include "vfio/function_config.h"

#include <gmock/gmock.h>

#include "hw/pci/pci_registers.h"
#include "tests/fakes/fake_vfio_device.h"
#include "vfio/pci_capabilities.h"

namespace berth::vfio {
namespace {

namespace pci = hw::pci;

struct FunctionConfigTest : testing::Test {
  void Build() {
    auto built = BuildConfig(device.config, facts, &overlay);
    ASSERT_TRUE(built) << built.error().message();
    layout = *built;
  }
  FakeVfioDevice device;
  ConfigFacts facts;
  ConfigOverlay overlay;
  ConfigLayout layout;
};

TEST_F(FunctionConfigTest, FindsWhatItActsUpon) {
  device.AddCapability(0x40, pci::kCapPowerManagement, std::vector<uint8_t>(6));
  device.AddExpress(0x70, pci::kExpressEndpoint);
  device.AddCapability(0x50, pci::kCapAdvancedFeatures, {6, 0x03, 0, 0});
  device.AddMsix(0xb0, 8, 0, 0x2000, 0x3000);
  facts = {.behind_root_port = true,
           .msix = MsixPlan{.vectors = 8, .table_offset = 0x2000, .pba_offset = 0x3000}};
  Build();
  EXPECT_EQ(layout.power, 0x40);
  EXPECT_EQ(layout.express, 0x70);
  EXPECT_TRUE(layout.express_reset);
  EXPECT_EQ(layout.advanced_features, 0x50);
  EXPECT_TRUE(layout.advanced_features_reset);
  EXPECT_EQ(layout.msix, 0xb0);
  EXPECT_EQ(layout.msi, std::nullopt);
}

// docs/assigned-devices.md, 18: what is ours in the header.
TEST_F(FunctionConfigTest, EmulatesTheHeader) {
  device.SetConfig<uint8_t>(pci::kHeaderType, 0x80);
  device.SetConfig<uint16_t>(pci::kCommand, 0x0107);
  facts.interrupt_pin = 2;
  Build();
  EXPECT_EQ(overlay.Merge(pci::kHeaderType, 1, 0x80), 0u);
  EXPECT_EQ(overlay.Merge(pci::kCommand, 2, 0x0107), 0x0100u);
  EXPECT_EQ(overlay.Merge(pci::kInterruptPin, 1, 0x01), 2u);
  overlay.Write(pci::kInterruptLine, 1, 11);
  EXPECT_EQ(overlay.Merge(pci::kInterruptLine, 1, 0), 11u);
}

TEST_F(FunctionConfigTest, MsixThatCannotBeIsHidden) {
  device.AddMsix(0xb0, 8, 0, 0x2000, 0x3000);
  Build();
  EXPECT_EQ(layout.msix, std::nullopt);
  EXPECT_EQ(overlay.Merge(pci::kCapabilityPointer, 1, 0xb0), 0u);
}

TEST_F(FunctionConfigTest, MsixSaysWhereItsStructuresAreForTheGuest) {
  device.AddMsix(0xb0, 8, 0, 0x2000, 0x3000);
  facts.msix = MsixPlan{.vectors = 6, .table_bar = 3, .pba_bar = 3, .table_offset = 0, .pba_offset = 0x60};
  Build();
  EXPECT_EQ(overlay.Merge(0xb2, 2, 7), 5u);
  EXPECT_EQ(overlay.Merge(0xb4, 4, 0x2000), 3u);
  EXPECT_EQ(overlay.Merge(0xb8, 4, 0x3000), 0x63u);
  overlay.Write(0xb2, 2, 0xffff);
  EXPECT_EQ(overlay.Get<uint16_t>(0xb2), 0xc005u);
}

TEST_F(FunctionConfigTest, BridgesAreRefused) {
  device.SetConfig<uint8_t>(pci::kHeaderType, 1);
  EXPECT_EQ(BuildConfig(device.config, facts, &overlay).error().code(), Code::kUnimplemented);
}

TEST_F(FunctionConfigTest, ASecondOfOneKindIsNotShown) {
  device.AddMsix(0xb0, 8, 0, 0x2000, 0x3000);
  device.AddMsix(0xc0, 8, 0, 0x2000, 0x3000);
  facts.msix = MsixPlan{.vectors = 8, .table_offset = 0x2000, .pba_offset = 0x3000};
  Build();
  EXPECT_EQ(layout.msix, 0xb0);
  EXPECT_EQ(overlay.Merge(0xb1, 1, 0xc0), 0u);
}

// docs/assigned-devices.md, 23.
TEST_F(FunctionConfigTest, HasTheIdentityThatIsAskedFor) {
  facts.identity = {.vendor_id = 0x10de, .subsystem_id = 0};
  Build();
  EXPECT_EQ(overlay.Merge(pci::kVendorId, 4, 0x00051b36), 0x000510deu);
  EXPECT_EQ(overlay.Merge(pci::kSubsystemVendorId, 4, 0x12345678), 0x00005678u);
  overlay.Write(pci::kVendorId, 2, 0x8086);
  EXPECT_EQ(overlay.Merge(pci::kVendorId, 2, 0x1b36), 0x10deu);
}

// A GPU: class 0x0302, a 3D controller.
struct CliqueTest : FunctionConfigTest {
  void SetUp() override {
    device.SetConfig<uint16_t>(pci::kVendorId, 0x10de);
    device.SetConfig<uint16_t>(pci::kClassCode + 1, 0x0302);
    device.AddCapability(0x60, pci::kCapPowerManagement, std::vector<uint8_t>(6));
    facts.gpudirect_clique = 5;
  }
  uint32_t Word(uint16_t offset) { return overlay.Merge(offset, 4, device.Config<uint32_t>(offset)); }
};

// docs/assigned-devices.md, 23: at 0xc8, the last of the chain, with "P2P" and the clique in bits 6 to 3 of
// byte 6.
TEST_F(CliqueTest, IsTheLastCapability) {
  Build();
  EXPECT_EQ(overlay.Merge(0x61, 1, 0), 0xc8u);
  EXPECT_EQ(Word(0xc8), 0x50080009u);
  EXPECT_EQ(Word(0xcc), (5u << 19) | 0x5032u);
}

TEST_F(CliqueTest, GivesWayToWhatIsThere) {
  device.AddMsix(0xc8, 8, 0, 0x2000, 0x3000);
  Build();
  EXPECT_EQ(overlay.Merge(0x61, 1, 0), 0xd4u);
  EXPECT_EQ(Word(0xd4), 0x50080009u);
}

TEST_F(CliqueTest, IsRefusedWhereThereIsNoRoom) {
  device.AddMsix(0xc0, 8, 0, 0x2000, 0x3000);
  device.AddExpress(0xd0, pci::kExpressEndpoint);
  EXPECT_EQ(BuildConfig(device.config, facts, &overlay).error().reason(), "NO_ROOM_FOR_CLIQUE");
}

TEST_F(CliqueTest, IsForGpusOfNvidia) {
  device.SetConfig<uint16_t>(pci::kVendorId, 0x1002);
  EXPECT_EQ(BuildConfig(device.config, facts, &overlay).error().reason(), "NOT_AN_NVIDIA_GPU");
  device.SetConfig<uint16_t>(pci::kVendorId, 0x10de);
  device.SetConfig<uint16_t>(pci::kClassCode + 1, 0x0403);  // Its sound.
  EXPECT_EQ(BuildConfig(device.config, facts, &overlay).error().reason(), "NOT_AN_NVIDIA_GPU");
}

TEST(ReadMsi, TakesTheLesserOfHardwareAndKernel) {
  FakeVfioDevice device;
  device.AddCapability(0x50, pci::kCapMsi, {0x8a, 0x01});  // 32 vectors, 64 bits, maskable.
  const auto msi = ReadMsi(device.config, 0x50, 6);
  ASSERT_TRUE(msi);
  EXPECT_EQ(msi->vectors, 4u);
  EXPECT_TRUE(msi->is_64bit && msi->maskable);
  EXPECT_FALSE(ReadMsi(device.config, 0x50, 0));
  EXPECT_FALSE(ReadMsi(std::span(device.config).first(0x60), 0x50, 6));
  device.SetConfig<uint16_t>(0x52, 0xffff);  // Reserved numbers of vectors.
  EXPECT_EQ(ReadMsi(device.config, 0x50, 256)->vectors, 32u);
}

}  // namespace
}  // namespace berth::vfio

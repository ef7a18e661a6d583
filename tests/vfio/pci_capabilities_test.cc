#include "vfio/pci_capabilities.h"

#include <gmock/gmock.h>

#include "hw/pci/pci_registers.h"

namespace berth::vfio {
namespace {

namespace pci = hw::pci;
using testing::ElementsAre;
using testing::IsEmpty;

struct CapabilitiesTest : testing::Test {
  void Put(uint8_t at, uint8_t id, uint8_t next) {
    config[at] = id;
    config[at + 1u] = next;
  }
  void PutExtended(uint16_t at, uint16_t id, uint16_t next) {
    StoreLe<uint32_t>(&config[at], uint32_t{id} | 1u << 16 | uint32_t{next} << 20);
  }
  void Start(uint8_t at) {
    StoreLe<uint16_t>(&config[pci::kStatus], pci::kStatusCapabilities);
    config[pci::kCapabilityPointer] = at;
  }
  // What a guest would find.
  std::vector<Capability> Seen() {
    std::vector<uint8_t> seen(config.size());
    for (uint16_t at = 0; at + 4u <= seen.size(); at += 4) {
      StoreLe<uint32_t>(&seen[at], overlay.Merge(at, 4, LoadLe<uint32_t>(&config[at])));
    }
    std::vector<Capability> all = FindCapabilities(seen);
    for (const Capability& capability : FindExtendedCapabilities(seen)) all.push_back(capability);
    return all;
  }

  std::vector<uint8_t> config = std::vector<uint8_t>(4096);
  ConfigOverlay overlay;
};

TEST_F(CapabilitiesTest, FollowsTheChain) {
  Start(0x40);
  Put(0x40, pci::kCapPowerManagement, 0x80);
  Put(0x80, pci::kCapMsix, 0x60);
  Put(0x60, pci::kCapExpress, 0);
  EXPECT_THAT(FindCapabilities(config),
              ElementsAre(Capability{1, 0x40}, Capability{0x11, 0x80}, Capability{0x10, 0x60}));
  EXPECT_EQ(OffsetOf(FindCapabilities(config), pci::kCapMsix), 0x80);
  EXPECT_EQ(OffsetOf(FindCapabilities(config), pci::kCapMsi), std::nullopt);
}

TEST_F(CapabilitiesTest, ThereAreNoneWithoutTheStatusBit) {
  Put(0x40, pci::kCapMsix, 0);
  config[pci::kCapabilityPointer] = 0x40;
  EXPECT_THAT(FindCapabilities(config), IsEmpty());
}

// docs/assigned-devices.md, 19: loops, links into the header, off the end, to nothing.
TEST_F(CapabilitiesTest, EndsWhateverTheLinksAre) {
  Start(0x40);
  Put(0x40, 1, 0x50);
  Put(0x50, 5, 0x40);
  EXPECT_EQ(FindCapabilities(config).size(), 2u);
  Put(0x50, 5, 0x50);
  EXPECT_EQ(FindCapabilities(config).size(), 2u);
  Put(0x50, 5, 0x10);
  EXPECT_EQ(FindCapabilities(config).size(), 2u);
  Put(0x50, 5, 0xfc);
  Put(0xfc, 0xff, 0xff);
  EXPECT_EQ(FindCapabilities(config).size(), 2u);
  config.resize(0xff);  // Sample drivers of the kernel have such spaces.
  Put(0x50, 5, 0xfc);
  config[0xfc] = 9;
  EXPECT_EQ(FindCapabilities(config).size(), 3u);
  config.resize(0x20);
  EXPECT_THAT(FindCapabilities(config), IsEmpty());

  config = std::vector<uint8_t>(4096);
  PutExtended(0x100, 1, 0x200);
  PutExtended(0x200, 2, 0x100);
  EXPECT_EQ(FindExtendedCapabilities(config).size(), 2u);
  PutExtended(0x200, 2, 0x080);
  EXPECT_EQ(FindExtendedCapabilities(config).size(), 2u);
  PutExtended(0x200, 2, 0xffc);
  EXPECT_EQ(FindExtendedCapabilities(config).size(), 2u);
  StoreLe<uint32_t>(&config[0x100], 0xffffffff);
  EXPECT_THAT(FindExtendedCapabilities(config), IsEmpty());
}

TEST_F(CapabilitiesTest, HiddenOnesAreLinkedAround) {
  Start(0x40);
  Put(0x40, pci::kCapMsi, 0x60);
  Put(0x60, pci::kCapExpress, 0x80);
  Put(0x80, pci::kCapVpd, 0);
  const Capability express[] = {{pci::kCapExpress, 0x60}};
  LinkCapabilities(express, &overlay);
  EXPECT_THAT(Seen(), ElementsAre(express[0]));
}

TEST_F(CapabilitiesTest, WithNoneLeftThereIsNoChain) {
  Start(0x40);
  Put(0x40, pci::kCapMsi, 0);
  LinkCapabilities({}, &overlay);
  EXPECT_EQ(overlay.Merge(pci::kStatus, 2, pci::kStatusCapabilities), 0u);
  EXPECT_EQ(overlay.Merge(pci::kCapabilityPointer, 1, 0x40), 0u);
}

// docs/assigned-devices.md, 19: the chain starts at 0x100 whatever is hidden there.
TEST_F(CapabilitiesTest, AHiddenFirstExtendedOneBecomesNull) {
  PutExtended(0x100, pci::kExtCapSriov, 0x140);
  PutExtended(0x140, pci::kExtCapAer, 0x180);
  PutExtended(0x180, pci::kExtCapAri, 0x1c0);
  PutExtended(0x1c0, pci::kExtCapSerial, 0);
  std::vector<Capability> visible = FindExtendedCapabilities(config);
  std::erase_if(visible, [](const Capability& c) { return IsHiddenExtended(c.id); });
  LinkExtendedCapabilities(visible, config, &overlay);
  EXPECT_THAT(Seen(), ElementsAre(Capability{pci::kExtCapAer, 0x140}, Capability{pci::kExtCapSerial, 0x1c0}));
  EXPECT_EQ(overlay.Merge(0x100, 4, 0), 0x14010000u);
}

TEST_F(CapabilitiesTest, WithNoExtendedOneLeftTheFirstIsZero) {
  PutExtended(0x100, pci::kExtCapSriov, 0);
  LinkExtendedCapabilities({}, config, &overlay);
  EXPECT_EQ(overlay.Merge(0x100, 4, 0x00010010), 0u);
}

TEST(IsHiddenExtended, HidesWhatIsTheHosts) {
  for (uint16_t id : {pci::kExtCapSriov, pci::kExtCapAri, pci::kExtCapResizableBar})
    EXPECT_TRUE(IsHiddenExtended(id));
  for (uint16_t id : {pci::kExtCapAer, pci::kExtCapSerial, pci::kExtCapAts})
    EXPECT_FALSE(IsHiddenExtended(id));
}

TEST(ConfigOverlay, MixesItsBitsWithTheHardwares) {
  ConfigOverlay overlay;
  overlay.Emulate<uint16_t>(0x04, 0x0407, 0, 0x0007);
  EXPECT_EQ(overlay.Merge(0x04, 2, 0xffff), 0xfbf8u);
  EXPECT_FALSE(overlay.Covers(0x04, 2));
  overlay.Write(0x04, 4, 0xffffffff);
  EXPECT_EQ(overlay.Merge(0x04, 4, 0x12340000), 0x12340007u);
  EXPECT_EQ(overlay.Get<uint16_t>(0x04), 7u);
  overlay.Reset();
  EXPECT_EQ(overlay.Merge(0x04, 2, 0), 0u);
  overlay.Emulate<uint8_t>(0x3d, 0xff, 1);
  EXPECT_TRUE(overlay.Covers(0x3d, 1));
  overlay.Write(0x3c, 4, 0);
  EXPECT_EQ(overlay.Get<uint8_t>(0x3d), 1);
}

}  // namespace
}  // namespace berth::vfio

#include "host/pci_address.h"

#include <gtest/gtest.h>

namespace berth::host {
namespace {

TEST(PciAddress, ReadsAndWritesSysfsNames) {
  for (const char* text : {"0000:08:00.0", "ffff:ff:1f.7", "10000:01:00.0", "ffffffff:00:00.0"}) {
    const auto address = PciAddress::Parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->ToString(), text);
  }
  EXPECT_EQ(PciAddress::Parse("0000:8a:1f.7").value(), (PciAddress{0, 0x8a, 0x1f, 7}));
}

TEST(PciAddress, TakesDomain0ForGranted) {
  EXPECT_EQ(PciAddress::Parse("08:00.1").value(), (PciAddress{0, 8, 0, 1}));
}

TEST(PciAddress, RefusesWhatIsNoAddress) {
  for (const char* text : {"", "0000", "0000:08:00", "0000:08:00.8", "0000:08:20.0", "0000:08:0.0",
                           "000:08:00.0", "100000000:08:00.0", "0000:08:00.0 ", "../../0000:08:00.0",
                           "0000:08:00.0/x", "0000:-1:00.0", ":08:00.0", "0000::08:00.0", "0x00:08:00.0"}) {
    const auto address = PciAddress::Parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().reason(), "BAD_PCI_ADDRESS");
  }
}

TEST(PciAddress, IsOrderedAsOnTheBus) {
  EXPECT_LT((PciAddress{0, 8, 31, 7}), (PciAddress{0, 9, 0, 0}));
  EXPECT_LT((PciAddress{0, 255, 31, 7}), (PciAddress{1, 0, 0, 0}));
}

}  // namespace
}  // namespace berth::host

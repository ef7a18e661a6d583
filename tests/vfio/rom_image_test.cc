#include "vfio/rom_image.h"

#include <linux/vfio.h>

#include <cerrno>
#include <cstring>
#include <numeric>

#include "tests/vfio/vfio_device_fixture.h"

namespace berth::vfio {
namespace {

// One image for the PC's firmware, of 1 KiB, with a wrong checksum.
std::vector<uint8_t> MakeRom(uint16_t vendor_id, uint16_t device_id) {
  std::vector<uint8_t> rom(1024, 0x11);
  StoreLe<uint16_t>(&rom[0], 0xaa55);
  rom[2] = 2;
  StoreLe<uint16_t>(&rom[0x18], 0x40);
  std::memcpy(&rom[0x40], "PCIR", 4);
  StoreLe<uint16_t>(&rom[0x44], vendor_id);
  StoreLe<uint16_t>(&rom[0x46], device_id);
  StoreLe<uint16_t>(&rom[0x50], 2);
  rom[0x54] = 0;
  rom[0x55] = 0x80;
  return rom;
}
uint8_t Sum(std::span<const uint8_t> bytes) {
  return static_cast<uint8_t>(std::accumulate(bytes.begin(), bytes.end(), 0u));
}

// docs/assigned-devices.md, 24.
TEST(FixRom, NamesTheDeviceAndSumsUpToZero) {
  std::vector<uint8_t> rom = MakeRom(0x10de, 0x1111);
  FixRom(rom, 0x10de, 0x2222);
  EXPECT_EQ(LoadLe<uint16_t>(&rom[0x46]), 0x2222);
  EXPECT_EQ(Sum(rom), 0);
}

TEST(FixRom, SeveralImagesAreFixed) {
  std::vector<uint8_t> rom = MakeRom(0x10de, 0x1111), second = rom;
  rom[0x55] = 0;
  second[0x54] = 3;  // For EFI: no checksum.
  rom.insert(rom.end(), second.begin(), second.end());
  FixRom(rom, 0x10de, 0x2222);
  EXPECT_EQ(LoadLe<uint16_t>(&rom[1024 + 0x46]), 0x2222);
  EXPECT_EQ(rom[1024 + 6], 0x11);
}

TEST(FixRom, AnothersRomKeepsItsName) {
  std::vector<uint8_t> rom = MakeRom(0x8086, 0x1111);
  FixRom(rom, 0x10de, 0x2222);
  EXPECT_EQ(LoadLe<uint16_t>(&rom[0x46]), 0x1111);
}

TEST(FixRom, WhatIsNoRomStaysAsItIs) {
  std::vector<uint8_t> rom(16);
  FixRom(rom, 1, 2);
  EXPECT_EQ(Sum(rom), 0);
  for (const auto& [at, value] :
       std::vector<std::pair<size_t, uint8_t>>{{0x19, 0xff}, {0x40, 'Q'}, {0x51, 0xff}, {0x50, 0}}) {
    std::vector<uint8_t> broken = MakeRom(0x10de, 0x1111);
    broken[at] = value;
    const std::vector<uint8_t> before = broken;
    FixRom(broken, 0x10de, 0x2222);
    EXPECT_EQ(broken, before) << at;
  }
}

struct RomImageTest : VfioDeviceFixture {};

TEST_F(RomImageTest, IsReadOnceAtTheFirstLook) {
  fake.AddRegion(VFIO_PCI_ROM_REGION_INDEX, 2048, VFIO_REGION_INFO_FLAG_READ);
  const std::vector<uint8_t> bytes = MakeRom(0x1b36, 0x1111);
  std::memcpy(fake.region(VFIO_PCI_ROM_REGION_INDEX).bytes, bytes.data(), bytes.size());
  fake.SetConfig<uint16_t>(4, 2);
  Open();
  DeviceRegion region(device.get(), *device->Region(VFIO_PCI_ROM_REGION_INDEX));
  RomImage rom(&region, 0x1b36, 0x0005);
  EXPECT_EQ(kernel.Count(FakeVfio::kPread), 0);
  EXPECT_EQ(rom.Read(0, 2), 0xaa55u);
  EXPECT_EQ(rom.Read(0x46, 2), 0x0005u);
  EXPECT_EQ(kernel.Count(FakeVfio::kPread), 1);
  rom.Write(0, 2, 0);
  EXPECT_EQ(rom.Read(0, 2), 0xaa55u);
}

TEST_F(RomImageTest, WhatCannotBeReadIsOnes) {
  fake.AddRegion(VFIO_PCI_ROM_REGION_INDEX, 2048, VFIO_REGION_INFO_FLAG_READ);
  Open();
  DeviceRegion region(device.get(), *device->Region(VFIO_PCI_ROM_REGION_INDEX));
  RomImage rom(&region, 0x1b36, 0x0005);
  kernel.FailCall(FakeVfio::kPread, 1, EIO);
  EXPECT_EQ(rom.Read(0, 4), 0xffffffffu);
}

TEST(RomImage, ShowsGivenBytes) {
  RomImage rom({0x55, 0xaa, 3});
  EXPECT_EQ(rom.Read(0, 4), 0xff03aa55u);
  EXPECT_EQ(rom.Read(100, 8), ~uint64_t{0});
}

}  // namespace
}  // namespace berth::vfio

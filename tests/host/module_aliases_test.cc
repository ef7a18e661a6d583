#include "host/module_aliases.h"

#include <gtest/gtest.h>

namespace berth::host {
namespace {

// As depmod writes them.
constexpr char kAliases[] =
    "# Aliases extracted from modules themselves.\n"
    "alias pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_core\n"
    "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
    "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci\n"
    "alias vfio_pci:v000010DEd00002342sv*sd*bc*sc*i* nvgrace_gpu_vfio_pci\n"
    "alias vfio_pci:v*d*sv*sd*bc02sc00i* some_vfio_pci\n"
    "alias vfio_pci: \n"
    "alias vfio_pci:v000015B3 a b\n";

std::string DriverFor(const PciFunction& function) {
  return ModuleAliases::Parse(kAliases).VfioDriverFor(function);
}

TEST(ModuleAliases, TheMostSpecificAliasWins) {
  EXPECT_EQ(DriverFor({.vendor_id = 0x15b3, .device_id = 0x101e, .class_code = 0x020000}), "mlx5_vfio_pci");
  EXPECT_EQ(DriverFor({.vendor_id = 0x10de, .device_id = 0x2342, .class_code = 0x030200}),
            "nvgrace_gpu_vfio_pci");
  EXPECT_EQ(DriverFor({.vendor_id = 0x15b3, .device_id = 0x1019, .class_code = 0x020000}), "some_vfio_pci");
}

TEST(ModuleAliases, OthersHaveTheDriverForAll) {
  EXPECT_EQ(DriverFor({.vendor_id = 0x8086, .device_id = 0x10ca, .class_code = 0x010802}), "vfio-pci");
  EXPECT_EQ(ModuleAliases().VfioDriverFor({.vendor_id = 0x8086, .device_id = 0x10ca}), "vfio-pci");
}

}  // namespace
}  // namespace berth::host

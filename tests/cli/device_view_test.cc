#include "cli/device_view.h"

#include <sstream>

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

namespace berth::cli {
namespace {

berth::v1::HostDevice Device(const std::string& text) {
  berth::v1::HostDevice device;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &device));
  return device;
}

TEST(DeviceTree, IsByNodePortAndGroup) {
  std::ostringstream out;
  PrintDeviceTree(
      out,
      {Device("name: 'host/devices/pci-0000-41-10-0' description: '0000:41:10.0 (Intel 82576 VF)' state: "
              "ASSIGNED guest: 'guests/web' driver: 'vfio-pci' host_node: 1 iommu_group: 21 pci { parent: "
              "'0000:40:00.0' physical_function: '0000:41:00.0' }"),
       Device("name: 'host/devices/pci-0000-41-00-0' description: '0000:41:00.0 (Intel 82576)' state: "
              "AVAILABLE driver: 'igb' host_node: 1 iommu_group: 20 pci { parent: '0000:40:00.0' total_vfs: "
              "7 num_vfs: 1 }"),
       Device("name: 'host/devices/pci-0000-00-01-0' description: '0000:00:01.0 (edu)' state: UNASSIGNABLE "
              "host_node: 0 pci {}"),
       Device("name: 'host/devices/parent-mtty' description: 'mtty' state: UNASSIGNABLE mdev_parent {}")});
  EXPECT_EQ(out.str(),
            "no node\n"
            "  software\n"
            "    no IOMMU group\n"
            "      mtty  mdev parent  UNASSIGNABLE\n"
            "node 0\n"
            "  root bus\n"
            "    no IOMMU group\n"
            "      0000:00:01.0 (edu)  PCI  UNASSIGNABLE\n"
            "node 1\n"
            "  port 0000:40:00.0\n"
            "    IOMMU group 20\n"
            "      0000:41:00.0 (Intel 82576)  PF 1/7  AVAILABLE  igb\n"
            "    IOMMU group 21\n"
            "      0000:41:10.0 (Intel 82576 VF)  VF  ASSIGNED  vfio-pci  guests/web\n");
}

TEST(DeviceFacts, AreThoseThatAreKnown) {
  std::ostringstream out;
  PrintDevice(out, Device("name: 'host/devices/pci-0000-08-00-0' description: '0000:08:00.0 (A2)' state: "
                          "AVAILABLE pci { serial_number: '1320' bars { index: 1 size_bytes: 17179869184 "
                          "is_64bit: true prefetchable: true placed: true } link { speed_mtps: 2500 width: 8 "
                          "max_speed_mtps: 16000 max_width: 16 } }"));
  EXPECT_EQ(out.str(),
            "FACT           VALUE\n"
            "device         pci-0000-08-00-0\n"
            "description    0000:08:00.0 (A2)\n"
            "kind           PCI\n"
            "state          AVAILABLE\n"
            "serial number  1320\n"
            "link           2.5 GT/s x8 of 16 GT/s x16\n"
            "BAR 1          16 GiB memory, 64-bit, prefetchable\n");
}

}  // namespace
}  // namespace berth::cli

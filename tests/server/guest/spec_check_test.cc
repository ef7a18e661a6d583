#include "server/guest/spec_check.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "tests/fakes/sample_spec.h"

namespace berth::server {
namespace {

// The field that is refused when the sample spec is changed by this text; "" if none is.
std::string RefusedField(const std::string& change) {
  v1::GuestSpec spec = SampleSpec(), extra;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(change, &extra)) << change;
  spec.MergeFrom(extra);
  const Status status = CheckSpec(spec);
  if (status) return "";
  EXPECT_EQ(status.error().code(), Code::kInvalidArgument);
  EXPECT_FALSE(status.error().reason().empty());
  EXPECT_TRUE(status.error().field().starts_with("guest.spec.")) << status.error().field();
  return status.error().field().substr(11);
}

TEST(CheckSpec, TakesASpecWithEverything) {
  EXPECT_EQ(RefusedField(R"(
    cpus { vcpu_count: 4 threads_per_core: 2 }
    memory { size_bytes: 134217728 page_size_bytes: 2097152
             nodes { size_bytes: 67108864 vcpus: [0, 1] distances: [10, 21] }
             nodes { size_bytes: 67108864 vcpus: [2, 3] distances: [21, 10] } }
    boot { initrd_path: "/boot/initrd.img" command_line: "console=ttyS0" }
    disks { path: "/var/lib/disk.img" serial: "DISK-1" logical_block_size_bytes: 512
            physical_block_size_bytes: 4096 cache: DIRECT discard: true queue_count: 2 }
    disks { id: "data" path: "/var/lib/data.img" read_only: true }
    disks { id: "logs" path: "/var/lib/logs.img" bus: VIRTIO_SCSI kind: DISK logical_block_size_bytes: 4096 }
    disks { id: "cd" path: "/var/lib/cd.iso" kind: CD_ROM read_only: true }
    network_interfaces { bridge: "br0" mac_address: "52:54:00:12:34:56" mtu: 9000 queue_pair_count: 4 }
    assigned_devices { pci_address: "0000:03:00.0" }
    assigned_devices { virtual_function { physical_function: "0000:01:00.0" index: 0 mac_address: "52:54:00:00:00:07" vlan_id: 7 } }
    assigned_devices { mediated_device { create { parent: "mtty" type: "mtty-2" } } }
    assigned_devices { mediated_device { uuid: "11111111-2222-4333-8444-555555555555" } }
    placement { host_cpus: [4, 5, 6, 7] emulator_threads: ISOLATED io_threads: ON_SHARED
                apart_from: ['guests/b', 'guests/c'] }
    resource_policy { cpu_reservation_percent: 10 cpu_limit_percent: 50 cpu_shares: 200
                      memory_reservation_percent: 50 memory_limit_percent: 100 io_weight: 50
                      io_limits { path: '/dev/vda' read_bytes_per_second: 1000000 } }
    console { source: VIRTIO } on_reset: STOP entropy_device: true guest_agent: true)"),
            "");
}

TEST(CheckSpec, NamesTheFieldThatIsMissing) {
  EXPECT_EQ(CheckSpec({}).error().reason(), "REQUIRED_FIELD");
  EXPECT_EQ(CheckSpec({}).error().field(), "guest.spec.cpus.vcpu_count");
  v1::GuestSpec spec = SampleSpec();
  spec.clear_memory();
  EXPECT_EQ(CheckSpec(spec).error().field(), "guest.spec.memory.size_bytes");
  spec = SampleSpec("");
  EXPECT_EQ(CheckSpec(spec).error().field(), "guest.spec.boot.kernel_path");
}

struct BadSpec {
  const char* change;
  const char* field;
};
class CheckSpecRefuses : public testing::TestWithParam<BadSpec> {};

TEST_P(CheckSpecRefuses, ThisField) { EXPECT_EQ(RefusedField(GetParam().change), GetParam().field); }

INSTANTIATE_TEST_SUITE_P(
    Fields, CheckSpecRefuses,
    testing::Values(
        BadSpec{"cpus { vcpu_count: -1 }", "cpus.vcpu_count"},
        BadSpec{"cpus { vcpu_count: 256 }", "cpus.vcpu_count"},
        BadSpec{"cpus { vcpu_count: 3 threads_per_core: 2 }", "cpus.vcpu_count"},
        BadSpec{"cpus { threads_per_core: 9 }", "cpus.threads_per_core"},
        BadSpec{"cpus { socket_count: -2 }", "cpus.socket_count"},
        BadSpec{"memory { size_bytes: -1 }", "memory.size_bytes"},
        BadSpec{"memory { size_bytes: 4096 }", "memory.size_bytes"},
        BadSpec{"memory { size_bytes: 67108865 }", "memory.size_bytes"},
        BadSpec{"memory { size_bytes: 9223372036854775807 }", "memory.size_bytes"},
        BadSpec{"memory { page_size_bytes: 5000 }", "memory.page_size_bytes"},
        BadSpec{"memory { nodes { size_bytes: 67108864 } }", "memory.nodes"},
        BadSpec{"memory { nodes { size_bytes: 67108864 vcpus: [0, 0] } }", "memory.nodes[0].vcpus"},
        BadSpec{"memory { nodes { size_bytes: 67108864 vcpus: 1 } }", "memory.nodes[0].vcpus"},
        BadSpec{"memory { nodes { size_bytes: 67108864 vcpus: 0 distances: 11 } }",
                "memory.nodes[0].distances"},
        BadSpec{"memory { nodes { size_bytes: 33554432 vcpus: 0 } }", "memory.size_bytes"},
        BadSpec{"memory { node_count: -2 }", "memory.node_count"},
        BadSpec{"memory { node_count: 2 }", "memory.node_count"},
        BadSpec{"memory { node_count: 1 nodes { size_bytes: 67108864 vcpus: 0 } }", "memory.node_count"},
        BadSpec{"memory { balloon: true } assigned_devices { pci_address: '0000:03:00.0' }",
                "memory.balloon"},
        BadSpec{"boot { kernel_path: 'vmlinuz' }", "boot.kernel_path"},
        BadSpec{"boot { initrd_path: 'x' }", "boot.initrd_path"},
        BadSpec{"boot { command_line: 'a\\nb' }", "boot.command_line"}, BadSpec{"disks { }", "disks[0].path"},
        BadSpec{"disks { path: '/x' id: 'a/b' }", "disks[0].id"},
        BadSpec{"disks { path: '/x' } disks { path: '/y' id: 'disk0' }", "disks[1].id"},
        BadSpec{"disks { path: '/x' serial: '123456789012345678901' }", "disks[0].serial"},
        BadSpec{"disks { path: '/x' logical_block_size_bytes: 1024 }", "disks[0].logical_block_size_bytes"},
        BadSpec{"disks { path: '/x' logical_block_size_bytes: 4096 physical_block_size_bytes: 512 }",
                "disks[0].physical_block_size_bytes"},
        BadSpec{"disks { path: '/x' cache: 17 }", "disks[0].cache"},
        BadSpec{"disks { path: '/x' format: 17 }", "disks[0].format"},
        BadSpec{"disks { path: '/x' io_limits { bytes_burst: 1 } }", "disks[0].io_limits.bytes_burst"},
        BadSpec{"disks { path: '/x' io_limits { operations_per_second: -1 } }",
                "disks[0].io_limits.operations_per_second"},
        BadSpec{"disks { path: '/x' size_bytes: 1000 }", "disks[0].size_bytes"},
        BadSpec{"disks { path: '/x' size_bytes: -512 }", "disks[0].size_bytes"},
        BadSpec{"disks { path: '/x' size_bytes: 512 read_only: true }", "disks[0].size_bytes"},
        BadSpec{"disks { path: '/x' beneath_paths: ['/y', 'z'] }", "disks[0].beneath_paths[1]"},
        BadSpec{"disks { path: '/x' read_only: true discard: true }", "disks[0].discard"},
        BadSpec{"disks { path: '/x' queue_count: 17 }", "disks[0].queue_count"},
        BadSpec{"disks { path: '/x' queue_count: 2 bus: VIRTIO_SCSI }", "disks[0].queue_count"},
        BadSpec{"disks { path: '/x' bus: 17 }", "disks[0].bus"},
        BadSpec{"disks { path: '/x' kind: 17 }", "disks[0].kind"},
        BadSpec{"disks { path: '/x' kind: CD_ROM read_only: true bus: VIRTIO_BLK }", "disks[0].bus"},
        BadSpec{"disks { path: '/x' kind: CD_ROM }", "disks[0].read_only"},
        BadSpec{"disks { path: '/x' kind: CD_ROM read_only: true logical_block_size_bytes: 512 }",
                "disks[0].logical_block_size_bytes"},
        BadSpec{"disks { path: '/x' kind: CD_ROM read_only: true physical_block_size_bytes: 4096 }",
                "disks[0].physical_block_size_bytes"},
        BadSpec{"disks { path: '/x' id: 'scsi' } disks { path: '/y' bus: VIRTIO_SCSI }", "disks[0].id"},
        BadSpec{"network_interfaces { }", "network_interfaces[0].bridge"},
        BadSpec{"network_interfaces { bridge: 'br0/../x' }", "network_interfaces[0].bridge"},
        BadSpec{"network_interfaces { bridge: 'br0' mac_address: '01:00:00:00:00:01' }",
                "network_interfaces[0].mac_address"},
        BadSpec{"network_interfaces { bridge: 'br0' mtu: 10 }", "network_interfaces[0].mtu"},
        BadSpec{"assigned_devices { }", "assigned_devices[0].device"},
        BadSpec{"assigned_devices { pci_address: '1:2' }", "assigned_devices[0].pci_address"},
        BadSpec{"assigned_devices { virtual_function { } }",
                "assigned_devices[0].virtual_function.physical_function"},
        BadSpec{"assigned_devices { virtual_function { physical_function: '0000:01:00.0' index: -1 } }",
                "assigned_devices[0].virtual_function.index"},
        BadSpec{"assigned_devices { virtual_function { physical_function: '0000:01:00.0' vlan_id: 4095 } }",
                "assigned_devices[0].virtual_function.vlan_id"},
        BadSpec{"assigned_devices { virtual_function { physical_function: '0000:01:00.0' vlan_qos: 1 } }",
                "assigned_devices[0].virtual_function.vlan_qos"},
        BadSpec{"assigned_devices { virtual_function { physical_function: '0000:01:00.0' vlan_id: 1 "
                "vlan_qos: 8 } }",
                "assigned_devices[0].virtual_function.vlan_qos"},
        BadSpec{
            "assigned_devices { virtual_function { physical_function: '0000:01:00.0' vlan_protocol: 1 } }",
            "assigned_devices[0].virtual_function.vlan_protocol"},
        BadSpec{"assigned_devices { virtual_function { physical_function: '0000:01:00.0' link_state: 9 } }",
                "assigned_devices[0].virtual_function.link_state"},
        BadSpec{"assigned_devices { virtual_function { physical_function: '0000:01:00.0' max_rate_mbps: 5 "
                "min_rate_mbps: 6 } }",
                "assigned_devices[0].virtual_function.min_rate_mbps"},
        BadSpec{"assigned_devices { pci_selector { } }", "assigned_devices[0].pci_selector.id"},
        BadSpec{"assigned_devices { pci_selector { id: '10DE:2330' } }",
                "assigned_devices[0].pci_selector.id"},
        BadSpec{"assigned_devices { pci_selector { id: '10de:2330' subsystem_id: '10de' } }",
                "assigned_devices[0].pci_selector.subsystem_id"},
        BadSpec{"assigned_devices { pci_address: '0000:01:00.0' identity { id: '10de' } }",
                "assigned_devices[0].identity.id"},
        BadSpec{"assigned_devices { pci_address: '0000:01:00.0' identity { subsystem_id: '10de:233O' } }",
                "assigned_devices[0].identity.subsystem_id"},
        BadSpec{"assigned_devices { pci_address: '0000:01:00.0' gpudirect_clique: 16 }",
                "assigned_devices[0].gpudirect_clique"},
        BadSpec{"assigned_devices { pci_address: '0000:01:00.0' monitor { width: 1280 } }",
                "assigned_devices[0].monitor"},
        BadSpec{"assigned_devices { mediated_device { create { } } }",
                "assigned_devices[0].mediated_device.create.type"},
        BadSpec{"assigned_devices { mediated_device { uuid: 'x' } }",
                "assigned_devices[0].mediated_device.uuid"},
        BadSpec{"assigned_devices { mediated_device { create { parent: '../..' type: 'x' } } }",
                "assigned_devices[0].mediated_device.create"},
        BadSpec{"assigned_devices { mediated_device { create { type: 'x' uuid: '1' } } }",
                "assigned_devices[0].mediated_device.create.uuid"},
        BadSpec{"assigned_devices { mediated_device { create { type: 'x' attributes { name: '../remove' "
                "value: '1' } } } }",
                "assigned_devices[0].mediated_device.create.attributes"},
        BadSpec{"placement { host_cpus: [1, 2] }", "placement.host_cpus"},
        BadSpec{"placement { host_cpus: -1 }", "placement.host_cpus"},
        BadSpec{"placement { host_nodes: [1, 1] }", "placement.host_nodes"},
        BadSpec{"placement { dedicated_cpus: true cpu_policy: SHARED }", "placement.cpu_policy"},
        BadSpec{"placement { host_cpus: 1 cpu_policy: MIXED }", "placement.cpu_policy"},
        BadSpec{"placement { cpu_policy: 9 }", "placement.cpu_policy"},
        BadSpec{"placement { cpu_policy: MIXED }", "placement.dedicated_vcpus"},
        BadSpec{"placement { cpu_policy: MIXED dedicated_vcpus: 1 }", "placement.dedicated_vcpus"},
        BadSpec{"placement { cpu_policy: SHARED dedicated_vcpus: 0 }", "placement.dedicated_vcpus"},
        BadSpec{"placement { sibling_policy: ISOLATE }", "placement.sibling_policy"},
        BadSpec{"cpus { vcpu_count: 2 threads_per_core: 2 } "
                "placement { dedicated_cpus: true sibling_policy: ISOLATE }",
                "placement.sibling_policy"},
        BadSpec{"placement { core_kind: EFFICIENCY }", "placement.core_kind"},
        BadSpec{"placement { emulator_threads: 7 }", "placement.emulator_threads"},
        BadSpec{"placement { io_threads: 7 }", "placement.io_threads"},
        BadSpec{"placement { apart_from: 'web' }", "placement.apart_from"},
        BadSpec{"placement { apart_from: ['guests/a', 'guests/a'] }", "placement.apart_from"},
        BadSpec{"assigned_devices { pci_address: '0000:03:00.0' affinity: 8 }",
                "assigned_devices[0].affinity"},
        BadSpec{"resource_policy { cpu_shares: 0 }", "resource_policy.cpu_shares"},
        BadSpec{"resource_policy { cpu_shares: 10001 }", "resource_policy.cpu_shares"},
        BadSpec{"resource_policy { cpu_reservation_percent: 101 }",
                "resource_policy.cpu_reservation_percent"},
        BadSpec{"resource_policy { cpu_reservation_percent: 50 cpu_limit_percent: 40 }",
                "resource_policy.cpu_limit_percent"},
        BadSpec{"resource_policy { memory_reservation_percent: 50 memory_limit_percent: 40 }",
                "resource_policy.memory_limit_percent"},
        BadSpec{"resource_policy { memory_limit_percent: 50 } "
                "assigned_devices { pci_address: '0000:03:00.0' }",
                "resource_policy.memory_limit_percent"},
        BadSpec{"resource_policy { io_weight: 10001 }", "resource_policy.io_weight"},
        BadSpec{"resource_policy { io_limits { path: 'x' read_bytes_per_second: 1 } }",
                "resource_policy.io_limits[0].path"},
        BadSpec{"resource_policy { io_limits { path: '/dev/sda' } }", "resource_policy.io_limits[0]"},
        BadSpec{"resource_policy { io_limits { path: '/dev/sda' write_bytes_per_second: -1 } }",
                "resource_policy.io_limits[0].write_bytes_per_second"},
        BadSpec{"console { source: 9 }", "console.source"}, BadSpec{"on_reset: 9", "on_reset"}));

TEST(CheckGuestId, IsALabelOfRfc1034) {
  EXPECT_TRUE(CheckGuestId("a"));
  EXPECT_TRUE(CheckGuestId("web-1"));
  for (const char* bad : {"", "1a", "a-", "-a", "A", "a.b", "a/b", "\xc3\xa9"}) {
    EXPECT_EQ(CheckGuestId(bad).error().reason(), "BAD_GUEST_ID") << bad;
  }
  EXPECT_TRUE(CheckGuestId(std::string(63, 'a')));
  EXPECT_FALSE(CheckGuestId(std::string(64, 'a')));
}

}  // namespace
}  // namespace berth::server

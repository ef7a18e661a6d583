#include "server/guest/launch_plan.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>

#include "base/bytes.h"
#include "server/guest/placement_request.h"
#include "tests/fakes/sample_host.h"
#include "tests/fakes/sample_spec.h"

namespace berth::server {
namespace {

using testing::ElementsAre;

struct Planned {
  StoredGuest stored;
  std::vector<ResolvedDevice> devices;
  Placement placement;
  LaunchPlan plan;
};

Planned PlanFor(const std::string& change, bool vhost_net = false, const Admission& admission = {}) {
  Planned planned;
  planned.stored.slot = 3;
  planned.stored.guest.set_name("guests/web");
  planned.stored.guest.set_uid("uid-web");
  v1::GuestSpec extra;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(change, &extra)) << change;
  *planned.stored.guest.mutable_spec() = SampleSpec();
  planned.stored.guest.mutable_spec()->MergeFrom(extra);
  const v1::GuestSpec& spec = planned.stored.guest.spec();
  const host::HostSnapshot host = host::SampleHost();
  auto devices = ResolveDevices(host, spec, {}, {}, "uid-web");
  EXPECT_TRUE(devices) << devices.error().message();
  planned.devices = *devices;
  auto placement = Place(host, {}, ToPlacementRequest(spec, planned.devices));
  EXPECT_TRUE(placement) << placement.error().message();
  planned.placement = *placement;
  planned.plan = MakeLaunchPlan(planned.stored, planned.devices, planned.placement, admission,
                                {.runtime_dir = "/run/berth", .first_user = 100000, .vhost_net = vhost_net});
  return planned;
}

std::vector<std::string> Kinds(const LaunchPlan& plan) {
  std::vector<std::string> kinds;
  for (const Step& step : plan.steps) kinds.push_back(KindOf(step));
  for (const DevicePlan& device : plan.devices) {
    for (const Step& step : device.steps) kinds.push_back(device.id + " " + KindOf(step));
  }
  return kinds;
}

TEST(LaunchPlan, TheSmallestGuest) {
  const LaunchPlan plan = PlanFor("").plan;
  EXPECT_THAT(Kinds(plan), ElementsAre("runtime-directory", "cgroup"));
  EXPECT_EQ(std::get<RuntimeDirectoryStep>(plan.steps[0]).path, "/run/berth/guests/uid-web");
  const auto& machine = plan.build.machine();
  EXPECT_EQ(machine.name(), "web");
  EXPECT_EQ(machine.cpus().cores_per_socket(), 1u);
  EXPECT_EQ(machine.devices_size(), 0);
  EXPECT_EQ(std::get<ListenerDescriptor>(plan.descriptors[plan.build.listener_fd()]).path,
            "/run/berth/guests/uid-web/control");
  EXPECT_TRUE(std::holds_alternative<KvmDescriptor>(plan.descriptors[plan.build.kvm_fd()]));
  const auto& memory = std::get<MemoryDescriptor>(plan.descriptors[machine.memory_nodes(0).memory_fd()]);
  EXPECT_EQ(memory.size_bytes, 64 * kMiB);
  EXPECT_EQ(memory.page_size_bytes, 4096u);
  EXPECT_EQ(std::get<FileDescriptor>(plan.descriptors[machine.boot().kernel_fd()]).path, "/boot/vmlinuz");
  EXPECT_FALSE(machine.boot().has_initrd());
  EXPECT_EQ(machine.vfio_container_fd_plus_one(), 0u);
  EXPECT_EQ(plan.limits.user, 100003u);
}

TEST(LaunchPlan, DisksAreOpenedAsTheyAreUsed) {
  const LaunchPlan plan =
      PlanFor(R"(disks { path: "/a" cache: DIRECT } disks { path: "/b" read_only: true serial: "B" }
                                     disks { path: "/c" cache: WRITE_THROUGH discard: true
                                             format: QCOW2 beneath_paths: "/base" })")
          .plan;
  const auto& devices = plan.build.machine().devices();
  ASSERT_EQ(devices.size(), 3);
  const auto file = [&](int i) {
    return std::get<FileDescriptor>(plan.descriptors[devices[i].block().image_fd()]);
  };
  EXPECT_TRUE(file(0).direct && file(0).writable);
  EXPECT_FALSE(file(1).writable);
  EXPECT_TRUE(devices[1].block().read_only());
  EXPECT_EQ(devices[1].block().serial(), "B");
  EXPECT_TRUE(devices[2].block().write_through() && devices[2].block().discard());
  EXPECT_EQ(devices[2].id(), "disk2");
  EXPECT_EQ(file(0).format, "raw");
  EXPECT_EQ(file(2).format, "qcow2");
  EXPECT_THAT(file(2).beneath, ElementsAre("/base"));
}

TEST(LaunchPlan, DisksOnVirtioScsiShareAController) {
  const LaunchPlan plan = PlanFor(R"(disks { path: "/a" bus: VIRTIO_SCSI serial: "A" } disks { path: "/b" }
                                     disks { id: "cd" path: "/c" kind: CD_ROM read_only: true })")
                              .plan;
  const auto& devices = plan.build.machine().devices();
  ASSERT_EQ(devices.size(), 2);
  EXPECT_EQ(devices[0].id(), "disk1");
  EXPECT_EQ(devices[1].id(), "scsi");
  const auto& units = devices[1].scsi().units();
  ASSERT_EQ(units.size(), 2);
  const auto file = [&](int i) {
    return std::get<FileDescriptor>(plan.descriptors[units[i].disk().image_fd()]);
  };
  EXPECT_EQ(units[0].id(), "disk0");
  EXPECT_EQ(units[0].disk().serial(), "A");
  EXPECT_FALSE(units[0].cd_rom());
  EXPECT_TRUE(file(0).path == "/a" && file(0).writable);
  EXPECT_EQ(units[1].id(), "cd");
  EXPECT_TRUE(units[1].cd_rom() && units[1].disk().read_only());
  EXPECT_TRUE(file(1).path == "/c" && !file(1).writable);
}

TEST(LaunchPlan, ANetworkInterfaceIsATapOnItsBridge) {
  const LaunchPlan plan =
      PlanFor("network_interfaces { bridge: 'br0' queue_pair_count: 2 mac_address: '52:54:00:12:34:56' }",
              true)
          .plan;
  EXPECT_THAT(Kinds(plan), ElementsAre("runtime-directory", "tap", "cgroup"));
  EXPECT_EQ(std::get<TapStep>(plan.steps[1]).owner, "uid-web/net0");
  const auto& net = plan.build.machine().devices(0).net();
  ASSERT_EQ(net.tap_fds_size(), 2);
  EXPECT_EQ(std::get<TapQueueDescriptor>(plan.descriptors[net.tap_fds(1)]).queue, 1);
  EXPECT_EQ(net.vhost_fds_size(), 2);
  EXPECT_EQ(net.mac_address(), std::string("\x52\x54\x00\x12\x34\x56", 6));
}

TEST(LaunchPlan, AMacAddressNobodyAskedForIsTheSameAtEveryStart) {
  const std::string spec = "network_interfaces { bridge: 'br0' }";
  const auto mac = PlanFor(spec).plan.build.machine().devices(0).net().mac_address();
  EXPECT_EQ(mac.size(), 6u);
  EXPECT_EQ(PlanFor(spec).plan.build.machine().devices(0).net().mac_address(), mac);
}

TEST(LaunchPlan, AVirtualFunctionIsMadeSetUpAndTaken) {
  const LaunchPlan plan = PlanFor(R"(
    assigned_devices { virtual_function { physical_function: "0000:01:00.0" index: 1 mac_address: "52:54:00:00:00:07" } }
    assigned_devices { virtual_function { physical_function: "0000:01:00.0" } })")
                              .plan;
  EXPECT_THAT(Kinds(plan),
              ElementsAre("runtime-directory", "cgroup", "assigned0 vfs", "assigned0 vf-settings",
                          "assigned0 driver", "assigned1 vfs", "assigned1 driver"));
  const auto& devices = plan.build.machine().devices();
  const auto& name = std::get<VfioDeviceName>(plan.descriptors[devices[0].vfio().group_fd()]);
  EXPECT_EQ(name.vf->second, 1);
  const uint32_t container = plan.build.machine().vfio_container_fd_plus_one();
  ASSERT_NE(container, 0u);
  EXPECT_TRUE(std::holds_alternative<VfioContainerDescriptor>(plan.descriptors[container - 1]));
}

TEST(LaunchPlan, TheAgentsPortIsBesideThatOfTheConsole) {
  const auto device = [](const std::string& change) {
    const LaunchPlan plan = PlanFor(change).plan;
    EXPECT_EQ(plan.build.machine().devices_size(), 1) << change;
    const auto& made = plan.build.machine().devices(0);
    return fmt::format("{} agent={} no_console={}", made.id(), made.virtio_console().agent(),
                       made.virtio_console().no_console());
  };
  EXPECT_EQ(device("console { source: VIRTIO }"), "console agent=false no_console=false");
  EXPECT_EQ(device("console { source: VIRTIO } guest_agent: true"), "console agent=true no_console=false");
  EXPECT_EQ(device("guest_agent: true"), "agent agent=true no_console=true");
}

TEST(LaunchPlan, VfioPinsTheGuestsMemory) {
  EXPECT_LT(PlanFor("").plan.limits.locked_memory_bytes, 256 * kMiB);
  EXPECT_GE(PlanFor("memory { size_bytes: 1073741824 } assigned_devices { pci_address: '0000:03:00.0' }")
                .plan.limits.locked_memory_bytes,
            kGiB);
}

TEST(LaunchPlan, AMediatedDeviceIsMadeOrJustTaken) {
  EXPECT_THAT(
      Kinds(
          PlanFor("assigned_devices { mediated_device { create { parent: 'mtty' type: 'mtty-2' } } }").plan),
      ElementsAre("runtime-directory", "cgroup", "assigned0 mdev"));
  EXPECT_THAT(
      Kinds(PlanFor("assigned_devices { mediated_device { uuid: '11111111-2222-4333-8444-555555555555' } }")
                .plan),
      ElementsAre("runtime-directory", "cgroup"));
}

TEST(LaunchPlan, AVendorsVgpuStaysWithItsDriver) {
  const auto address = *host::PciAddress::Parse("0000:03:00.0");
  const DevicePlan plan = PlanDevice({.id = "gpu", .address = address, .vgpu_type = 1148}, {}, {});
  ASSERT_EQ(plan.steps.size(), 1u);
  EXPECT_EQ(std::get<VgpuTypeStep>(plan.steps[0]).type, 1148);
  EXPECT_EQ(plan.name.address, address);
}

// docs/assigned-devices.md, 23.
TEST(LaunchPlan, WhatTheGuestIsShownOfADevice) {
  const LaunchPlan plan = PlanFor(R"(assigned_devices {
    pci_address: "0000:03:00.0" identity { id: "10de:2330" } gpudirect_clique: 0 hide_rom: true relocate_msix: true })")
                              .plan;
  const auto& vfio = plan.build.machine().devices(0).vfio();
  EXPECT_EQ(vfio.identity().vendor_id(), 0x10deu);
  EXPECT_EQ(vfio.identity().device_id(), 0x2330u);
  EXPECT_FALSE(vfio.identity().has_subsystem_id());
  EXPECT_TRUE(vfio.has_gpudirect_clique() && vfio.hide_rom() && vfio.relocate_msix());
}

TEST(LaunchPlan, HotPlugPortsHaveRoomAndReadyTheMachineForVfio) {
  const LaunchPlan plan =
      PlanFor("hot_plug_ports { prefetchable_memory_bytes: 34359738368 } hot_plug_ports { guest_node: 0 }")
          .plan;
  const auto& machine = plan.build.machine();
  ASSERT_EQ(machine.spare_ports_size(), 2);
  EXPECT_EQ(machine.spare_ports(0).prefetchable_bytes(), 32 * kGiB);
  EXPECT_EQ(machine.spare_ports(0).memory_bytes(), 2 * kMiB);
  EXPECT_FALSE(machine.spare_ports(0).has_node());
  EXPECT_TRUE(machine.spare_ports(1).has_node());
  EXPECT_NE(machine.vfio_container_fd_plus_one(), 0u);
  EXPECT_GE(plan.limits.locked_memory_bytes, PlanFor("").plan.limits.locked_memory_bytes + 64 * kMiB);
}

TEST(LaunchPlan, EveryVcpuHasItsPlace) {
  const Planned planned = PlanFor("cpus { vcpu_count: 2 } placement { host_cpus: [5, 4] }");
  ASSERT_EQ(planned.plan.vcpu_places.size(), 2u);
  EXPECT_EQ(planned.plan.vcpu_places[0].name, "vcpu0");
  EXPECT_EQ(planned.plan.vcpu_places[0].limits.cpus, host::CpuSet{5});
  const auto& cgroup = std::get<CgroupStep>(planned.plan.steps.back());
  EXPECT_EQ(cgroup.limits.cpus, (host::CpuSet{4, 5}));
  EXPECT_EQ(cgroup.limits.memory_nodes, host::CpuSet{1});
  EXPECT_EQ(cgroup.children.size(), 4u);
}

TEST(LaunchPlan, TheGuestsPolicyIsItsCgroupsLimits) {
  const Admission admission{.cpu_weight = 400,
                            .cpu_limit_millicpus = 1000,
                            .memory_reserved_bytes = 32 * kMiB,
                            .memory_limit_bytes = 96 * kMiB};
  const auto cgroup = std::get<CgroupStep>(PlanFor(R"(cpus { vcpu_count: 2 } resource_policy { io_weight: 50
                 io_limits { path: '/dev/vda' write_bytes_per_second: 1000 } })",
                                                   false, admission)
                                               .plan.steps.back());
  EXPECT_EQ(cgroup.limits.cpu_weight, 400u);
  EXPECT_EQ(cgroup.limits.cpu_max_millicpu, 1000u);
  EXPECT_EQ(cgroup.limits.memory_min, 32 * kMiB);
  EXPECT_EQ(cgroup.limits.memory_max, 96 * kMiB);
  EXPECT_EQ(cgroup.limits.io_weight, 50u);
  ASSERT_EQ(cgroup.disks.size(), 1u);
  EXPECT_EQ(cgroup.disks[0].limit.write_bytes, 1000u);
}

TEST(LaunchPlan, ALimitOfTimeIsForVcpusThatShare) {
  const Planned planned = PlanFor("cpus { vcpu_count: 3 } placement { cpu_policy: MIXED dedicated_vcpus: 0 }",
                                  false, {.cpu_limit_millicpus = 1000});
  EXPECT_FALSE(std::get<CgroupStep>(planned.plan.steps.back()).limits.cpu_max_millicpu);
  EXPECT_FALSE(planned.plan.vcpu_places[0].limits.cpu_max_millicpu);
  EXPECT_EQ(planned.plan.vcpu_places[1].limits.cpu_max_millicpu, 500u);
}

TEST(LaunchPlan, EvenNodesHaveTheirPartOfTheGuestAndTheHostsDistances) {
  const LaunchPlan plan =
      PlanFor("cpus { vcpu_count: 4 } memory { size_bytes: 134217728 node_count: 2 }").plan;
  const auto& machine = plan.build.machine();
  ASSERT_EQ(machine.memory_nodes_size(), 2);
  EXPECT_EQ(machine.memory_nodes(0).size_bytes(), 64 * kMiB);
  EXPECT_THAT(machine.memory_nodes(0).distances(), ElementsAre(10, 20));
  EXPECT_THAT(machine.cpus().node_of_vcpu(), ElementsAre(0, 0, 1, 1));
}

TEST(LaunchPlan, EvenNodesAreSocketsWhereTheOwnerDoesNotSay) {
  const auto sockets = [](const std::string& change) {
    return PlanFor(change).plan.build.machine().cpus().sockets();
  };
  EXPECT_EQ(sockets("cpus { vcpu_count: 4 } memory { size_bytes: 134217728 node_count: 2 }"), 2u);
  EXPECT_EQ(sockets("cpus { vcpu_count: 3 } memory { size_bytes: 134217728 node_count: 2 }"), 1u);
  EXPECT_EQ(sockets("cpus { vcpu_count: 4 socket_count: 1 } memory { size_bytes: 134217728 node_count: 2 }"),
            1u);
  // vCPU 1 is on the first node, 0 on the second: no run of vCPUs is a socket.
  EXPECT_EQ(sockets(R"(cpus { vcpu_count: 2 }
                       memory { size_bytes: 0 nodes { size_bytes: 67108864 vcpus: 1 }
                                nodes { size_bytes: 67108864 vcpus: 0 } })"),
            1u);
}

TEST(LaunchPlan, DedicatedVcpusAreSiblingsWhereTheirHostCpusAre) {
  const auto threads = [](const std::string& change) {
    return PlanFor(change).plan.build.machine().cpus().threads_per_core();
  };
  EXPECT_EQ(threads("cpus { vcpu_count: 4 } placement { cpu_policy: DEDICATED }"), 2u);
  EXPECT_EQ(threads("cpus { vcpu_count: 4 } placement { cpu_policy: SHARED }"), 1u);
  EXPECT_EQ(threads("cpus { vcpu_count: 2 } placement { cpu_policy: DEDICATED sibling_policy: ISOLATE }"),
            1u);
}

TEST(LaunchPlan, GuestNodesKeepTheirVcpusMemoryAndDevices) {
  const LaunchPlan plan = PlanFor(R"(
    cpus { vcpu_count: 2 }
    memory { size_bytes: 0 nodes { size_bytes: 67108864 vcpus: 1 } nodes { size_bytes: 67108864 vcpus: 0 } }
    assigned_devices { pci_address: "0000:03:00.0" }
    assigned_devices { virtual_function { physical_function: "0000:01:00.0" } })")
                              .plan;
  const auto& machine = plan.build.machine();
  EXPECT_THAT(machine.cpus().node_of_vcpu(), ElementsAre(1, 0));
  ASSERT_EQ(machine.memory_nodes_size(), 2);
  for (const auto& device : machine.devices()) {
    ASSERT_TRUE(device.has_node());
    const uint32_t host_node = device.id() == "assigned0" ? 0 : 1;
    EXPECT_THAT(machine.memory_nodes(device.node()).host_nodes(), ElementsAre(host_node));
  }
}

}  // namespace
}  // namespace berth::server

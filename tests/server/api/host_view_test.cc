#include "server/api/host_view.h"

#include <gmock/gmock.h>

#include "base/bytes.h"
#include "tests/fakes/sample_host.h"

namespace berth::server {
namespace {

using testing::HasSubstr;

v1::HostDevice Device(const DeviceOwners& owners, const std::string& name,
                      const std::vector<Quarantined>& quarantined = {}) {
  for (const v1::HostDevice& device : ToHostDevices(host::SampleHost(), {owners, quarantined})) {
    if (device.name() == name) return device;
  }
  ADD_FAILURE() << "no " << name;
  return {};
}

TEST(HostView, ShowsNodesCpusAndWhatIsPromised) {
  const Ledger ledger = {
      {.guest = "guests/a", .dedicated_cpus = {5}, .memory = {{.host_node = 1, .size_bytes = kGiB}}}};
  const v1::Host host = ToHost(host::SampleHost(), ledger, true, "1.0");
  EXPECT_EQ(host.online_cpu_count(), 8);
  ASSERT_EQ(host.nodes_size(), 2);
  EXPECT_EQ(host.nodes(1).cpus(), "4-7");
  EXPECT_EQ(host.nodes(1).memory_reserved_bytes(), static_cast<int64_t>(kGiB));
  EXPECT_EQ(host.cpus(5).dedicated_to(), "guests/a");
  EXPECT_EQ(host.cpus(5).core(), 4);
  EXPECT_THAT(host.bridges(), testing::ElementsAre("br0"));
  EXPECT_TRUE(host.iommu_available());
}

TEST(HostView, SaysWhyADeviceCannotBeAssigned) {
  EXPECT_EQ(Device({}, "host/devices/pci-0000-03-00-0").state(), v1::HostDevice::AVAILABLE);
  const v1::HostDevice grouped = Device({}, "host/devices/pci-0000-00-1f-2");
  EXPECT_EQ(grouped.state(), v1::HostDevice::UNASSIGNABLE);
  EXPECT_THAT(grouped.obstacle(), HasSubstr("0000:00:1f.3"));
  EXPECT_EQ(Device({}, "host/devices/pci-0000-04-00-0").state(), v1::HostDevice::UNASSIGNABLE);
}

TEST(HostView, AQuarantinedDeviceIsThatWhoeverHasIt) {
  const std::vector<Quarantined> lost = {{.device = "pci/0000:03:00.0",
                                          .since_us = 1'700'000'000'000'000,
                                          .reason = "DEVICE_LOST",
                                          .message = "it does not answer",
                                          .guest = "guests/a"}};
  const v1::HostDevice free = Device({}, "host/devices/pci-0000-03-00-0", lost);
  EXPECT_EQ(free.state(), v1::HostDevice::QUARANTINED);
  EXPECT_EQ(free.obstacle(), "quarantined (DEVICE_LOST): it does not answer");
  EXPECT_EQ(free.state_time().seconds(), 1'700'000'000);
  const v1::HostDevice owned =
      Device({{"pci/0000:03:00.0", {.guest = "guests/a", .state = v1::Guest::RUNNING}}},
             "host/devices/pci-0000-03-00-0", lost);
  EXPECT_EQ(owned.state(), v1::HostDevice::QUARANTINED);
  EXPECT_EQ(owned.guest(), "guests/a");
}

TEST(HostView, ADevicesKeyIsItsClaims) {
  EXPECT_EQ(KeyOf(Device({}, "host/devices/pci-0000-03-00-0")), "pci/0000:03:00.0");
  EXPECT_EQ(KeyOf(Device({}, "host/devices/pci-0000-02-00-2")), "vf/0000:02:00.0/1");
  EXPECT_EQ(KeyOf(Device({}, "host/devices/mdev-11111111-2222-4333-8444-555555555555")),
            "mdev/11111111-2222-4333-8444-555555555555");
  EXPECT_EQ(KeyOf(Device({}, "host/devices/parent-mtty")), "");
}

TEST(HostView, ShowsWhatAVirtualFunctionCouldBecomeAsMediatedDevicesTypes) {
  host::HostSnapshot host = host::SampleHost();
  for (host::PciFunction& function : host.functions) {
    if (function.vf_index == 0) function.vgpu = host::VendorVgpu{0, {{1148, "NVIDIA L40S-2Q"}}};
    if (function.vf_index == 1) function.vgpu = host::VendorVgpu{1150, {}};
  }
  int seen = 0;
  for (const v1::HostDevice& device : ToHostDevices(host, {})) {
    if (device.name() == "host/devices/pci-0000-02-00-1") {
      ASSERT_EQ(device.mdev_types_size(), 1);
      EXPECT_EQ(device.mdev_types(0).id(), "nvidia-1148");
      EXPECT_EQ(device.mdev_types(0).name(), "NVIDIA L40S-2Q");
      EXPECT_EQ(device.pci().vgpu_type(), "");
      ++seen;
    }
    if (device.name() == "host/devices/pci-0000-02-00-2") {
      EXPECT_EQ(device.pci().vgpu_type(), "nvidia-1150");
      ++seen;
    }
  }
  EXPECT_EQ(seen, 2);
}

TEST(HostView, ShowsWhoHasADevice) {
  const auto state = [](v1::Guest::State guest, bool restored) {
    return Device({{"pci/0000:03:00.0", {.guest = "guests/a", .state = guest, .restored = restored}}},
                  "host/devices/pci-0000-03-00-0")
        .state();
  };
  EXPECT_EQ(state(v1::Guest::DEFINED, true), v1::HostDevice::CLAIMED);
  EXPECT_EQ(state(v1::Guest::RUNNING, true), v1::HostDevice::ASSIGNED);
  EXPECT_EQ(state(v1::Guest::STOPPING, false), v1::HostDevice::RELEASING);
  EXPECT_EQ(state(v1::Guest::FAILED, false), v1::HostDevice::QUARANTINED);
  EXPECT_EQ(state(v1::Guest::FAILED, true), v1::HostDevice::CLAIMED);
  EXPECT_THAT(
      Device({{"pci/0000:03:00.0", {.guest = "guests/a", .state = v1::Guest::FAILED, .restored = false}}},
             "host/devices/pci-0000-03-00-0")
          .obstacle(),
      HasSubstr("start or delete guests/a"));
  EXPECT_EQ(Device({{"vf/0000:02:00.0/0", {.guest = "guests/b", .state = v1::Guest::RUNNING}}},
                   "host/devices/pci-0000-02-00-1")
                .guest(),
            "guests/b")
      << "a claim on a virtual function is by its index";
}

TEST(HostView, ShowsMediatedDevicesAndWhatTheyAreMadeOf) {
  const v1::HostDevice parent = Device({}, "host/devices/parent-mtty");
  ASSERT_EQ(parent.mdev_types_size(), 2);
  EXPECT_EQ(parent.mdev_types(1).available_instances(), 12);
  const v1::HostDevice mdev = Device({}, "host/devices/mdev-11111111-2222-4333-8444-555555555555");
  EXPECT_EQ(mdev.mdev().type(), "mtty-2");
  EXPECT_EQ(mdev.iommu_group(), 20);
}

TEST(HostView, ShowsMediatedDevicesThatAreOnlyDefined) {
  host::HostSnapshot host = host::SampleHost();
  const std::string uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
  host.mdev_definitions = {{.uuid = uuid, .parent = "mtty", .type = "mtty-2"},
                           {.uuid = host.mdevs[0].uuid, .parent = "mtty", .type = "mtty-2"}};
  const auto devices = ToHostDevices(host, {});
  EXPECT_EQ(devices.size(), ToHostDevices(host::SampleHost(), {}).size() + 1) << "what is there is told once";
  EXPECT_EQ(devices.back().name(), "host/devices/mdev-" + uuid);
  EXPECT_EQ(devices.back().state(), v1::HostDevice::AVAILABLE);
  EXPECT_THAT(devices.back().description(), HasSubstr("defined with mdevctl"));
}

TEST(HostView, EveryFilterFieldHasAValue) {
  const v1::HostDevice device = Device({}, "host/devices/pci-0000-02-00-1");
  EXPECT_EQ(DeviceField(device, "pci.id"), "1b36:0010");
  EXPECT_EQ(DeviceField(device, "pci.address"), "0000:02:00.1");
  EXPECT_EQ(DeviceField(device, "pci.class_code"), "010802");
  EXPECT_EQ(DeviceField(device, "pci.physical_function"), "0000:02:00.0");
  EXPECT_EQ(DeviceField(device, "state"), "AVAILABLE");
  EXPECT_FALSE(IsDeviceField("colour"));
}

}  // namespace
}  // namespace berth::server

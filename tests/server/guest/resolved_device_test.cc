#include "server/guest/resolved_device.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>

#include "tests/fakes/sample_host.h"

namespace berth::server {
namespace {

v1::GuestSpec Devices(const std::string& text) {
  v1::GuestSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec)) << text;
  return spec;
}

Result<std::vector<ResolvedDevice>> Resolve(const std::string& text, const std::vector<Claim>& claims = {},
                                            const std::vector<Quarantined>& quarantined = {}) {
  return ResolveDevices(host::SampleHost(), Devices(text), claims, quarantined, "me");
}

TEST(ResolveDevices, AQuarantinedDeviceIsNobodys) {
  const std::vector<Quarantined> lost = {{.device = "pci/0000:03:00.0",
                                          .since_us = 1'700'000'000'000'000,
                                          .reason = "DEVICE_LOST",
                                          .message = "it does not answer",
                                          .guest = "guests/a"}};
  const auto refused = Resolve("assigned_devices { pci_address: '0000:03:00.0' }", {}, lost);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(refused.error().reason(), "DEVICE_QUARANTINED");
  EXPECT_THAT(refused.error().message(), testing::HasSubstr("2023-11-14T22:13:20Z: it does not answer"));
  // Nor is it the guest's whose it was.
  const std::vector<Claim> mine = {
      {.device = "pci/0000:03:00.0", .guest_uid = "me", .device_id = "assigned0"}};
  EXPECT_FALSE(Resolve("assigned_devices { pci_address: '0000:03:00.0' }", mine, lost));
}

TEST(ResolveDevices, AnyVirtualFunctionIsOneThatIsNotQuarantined) {
  const auto devices = Resolve("assigned_devices { virtual_function { physical_function: '0000:02:00.0' } }",
                               {}, {{.device = "vf/0000:02:00.0/0"}});
  ASSERT_TRUE(devices) << devices.error().message();
  EXPECT_EQ((*devices)[0].key, "vf/0000:02:00.0/1");
}

TEST(ResolveDevices, AFunctionByItsAddress) {
  const auto devices = Resolve("assigned_devices { pci_address: '03:00.0' skip_reset: true }");
  ASSERT_TRUE(devices) << devices.error().message();
  EXPECT_EQ((*devices)[0].id, "assigned0");
  EXPECT_EQ((*devices)[0].key, "pci/0000:03:00.0");
  EXPECT_EQ((*devices)[0].host_node, 0);
  EXPECT_TRUE((*devices)[0].skip_reset);
}

TEST(ResolveDevices, AnUnknownDevice) {
  const auto devices = Resolve("assigned_devices { pci_address: '0000:77:00.0' }");
  ASSERT_FALSE(devices);
  EXPECT_EQ(devices.error().code(), Code::kNotFound);
  EXPECT_EQ(devices.error().reason(), "DEVICE_NOT_FOUND");
  EXPECT_EQ(devices.error().field(), "guest.spec.assigned_devices[0]");
}

TEST(ResolveDevices, ADeviceOfAnotherGuest) {
  const auto devices = Resolve("assigned_devices { pci_address: '0000:03:00.0' }",
                               {{"pci/0000:03:00.0", "other", "x", "guests/other"}});
  ASSERT_FALSE(devices);
  EXPECT_EQ(devices.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(devices.error().reason(), "DEVICE_IN_USE");
  EXPECT_THAT(devices.error().metadata(), testing::Contains(testing::Pair("owner", "guests/other")));
}

TEST(ResolveDevices, AGroupThatTheHostUsesToo) {
  const auto devices = Resolve("assigned_devices { pci_address: '0000:00:1f.2' }");
  ASSERT_FALSE(devices);
  EXPECT_EQ(devices.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(devices.error().reason(), "IOMMU_GROUP_NOT_VIABLE");
  EXPECT_THAT(devices.error().message(), testing::HasSubstr("0000:00:1f.3"));
}

TEST(ResolveDevices, TheWholeGroupIsViable) {
  EXPECT_TRUE(Resolve(
      "assigned_devices { pci_address: '0000:00:1f.2' } assigned_devices { pci_address: '0000:00:1f.3' }"));
}

TEST(ResolveDevices, AGroupOfAnotherGuest) {
  const auto devices = Resolve("assigned_devices { pci_address: '0000:00:1f.2' }",
                               {{"pci/0000:00:1f.3", "other", "x", "guests/other"}});
  ASSERT_FALSE(devices);
  EXPECT_EQ(devices.error().reason(), "IOMMU_GROUP_IN_USE");
}

TEST(ResolveDevices, ADeviceWithoutIommu) {
  const auto devices = Resolve("assigned_devices { pci_address: '0000:04:00.0' }");
  ASSERT_FALSE(devices);
  EXPECT_EQ(devices.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(devices.error().reason(), "NO_IOMMU_GROUP");
}

TEST(ResolveDevices, OneDeviceTwice) {
  EXPECT_EQ(
      Resolve("assigned_devices { pci_address: '0000:03:00.0' } assigned_devices { pci_address: '03:00.0' }")
          .error()
          .reason(),
      "DEVICE_NAMED_TWICE");
  EXPECT_EQ(Resolve("assigned_devices { pci_address: '0000:02:00.1' } assigned_devices { virtual_function { "
                    "physical_function: '0000:02:00.0' index: 0 } }")
                .error()
                .reason(),
            "DEVICE_NAMED_TWICE")
      << "a virtual function is the same by either name";
}

TEST(ResolveDevices, AVirtualFunctionThatIsNotThereYet) {
  const auto devices = Resolve(
      "assigned_devices { virtual_function { physical_function: '0000:01:00.0' index: 3 mac_address: "
      "'52:54:00:00:00:07' vlan_id: 7 } }");
  ASSERT_TRUE(devices) << devices.error().message();
  EXPECT_EQ((*devices)[0].key, "vf/0000:01:00.0/3");
  EXPECT_EQ((*devices)[0].vf->count, 7);
  EXPECT_EQ((*devices)[0].vf->settings.mac, "52:54:00:00:00:07");
  EXPECT_EQ((*devices)[0].vf->settings.vlan->id, 7);
  EXPECT_EQ((*devices)[0].host_node, 1);
  EXPECT_FALSE((*devices)[0].address.has_value());
}

TEST(ResolveDevices, AnyFreeVirtualFunctionAndTheSameOneEveryTime) {
  const std::string any = "assigned_devices { virtual_function { physical_function: '0000:01:00.0' } }";
  EXPECT_EQ((*Resolve(any, {{"vf/0000:01:00.0/0", "other", "x", "guests/other"}}))[0].key,
            "vf/0000:01:00.0/1");
  EXPECT_EQ((*Resolve(any, {{"vf/0000:01:00.0/5", "me", "assigned0", "guests/me"}}))[0].key,
            "vf/0000:01:00.0/5");
}

TEST(ResolveDevices, NoVirtualFunctionLeft) {
  const auto devices =
      Resolve("assigned_devices { virtual_function { physical_function: '0000:02:00.0' } }",
              {{"vf/0000:02:00.0/0", "a", "x", "guests/a"}, {"vf/0000:02:00.0/1", "b", "x", "guests/b"}});
  ASSERT_FALSE(devices);
  EXPECT_EQ(devices.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(devices.error().reason(), "NO_VF_LEFT");
}

TEST(ResolveDevices, VirtualFunctionsThatCannotBe) {
  EXPECT_EQ(
      Resolve("assigned_devices { virtual_function { physical_function: '0000:03:00.0' } }").error().reason(),
      "NOT_A_PHYSICAL_FUNCTION");
  EXPECT_EQ(Resolve("assigned_devices { virtual_function { physical_function: '0000:01:00.0' index: 7 } }")
                .error()
                .reason(),
            "TOO_MANY_VFS");
  EXPECT_EQ(Resolve("assigned_devices { virtual_function { physical_function: '0000:02:00.0' mac_address: "
                    "'52:54:00:00:00:07' } }")
                .error()
                .reason(),
            "NOT_A_NETWORK_FUNCTION");
}

TEST(ResolveDevices, AFunctionAndItsVirtualFunctionsHaveOneOwner) {
  EXPECT_EQ(Resolve("assigned_devices { pci_address: '0000:02:00.0' }",
                    {{"vf/0000:02:00.0/1", "other", "x", "guests/other"}})
                .error()
                .reason(),
            "DEVICE_IN_USE");
  EXPECT_EQ(Resolve("assigned_devices { virtual_function { physical_function: '0000:02:00.0' } }",
                    {{"pci/0000:02:00.0", "other", "x", "guests/other"}})
                .error()
                .reason(),
            "DEVICE_IN_USE");
}

TEST(ResolveDevices, MediatedDevices) {
  const auto made =
      Resolve("assigned_devices { mediated_device { create { parent: 'mtty' type: 'mtty-2' } } }");
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_TRUE((*made)[0].mdev->create);
  EXPECT_EQ((*made)[0].key, "mdev/" + (*made)[0].mdev->uuid);
  const auto there =
      Resolve("assigned_devices { mediated_device { uuid: '11111111-2222-4333-8444-555555555555' } }");
  ASSERT_TRUE(there);
  EXPECT_FALSE((*there)[0].mdev->create);
}

TEST(ResolveDevices, AMediatedDeviceIsCalledAndSetUpAsAskedFor) {
  const auto made = Resolve(R"(assigned_devices { mediated_device { create {
    parent: "mtty" type: "mtty-2" uuid: "11111111-2222-4333-8444-ABCDEF000000"
    attributes { name: "nvidia/vgpu_params" value: "frame_rate_limiter=0" } } } })",
                            {{"mdev/99999999-2222-4333-8444-555555555555", "me", "assigned0", "guests/me"}});
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ((*made)[0].mdev->uuid, "11111111-2222-4333-8444-abcdef000000");
  EXPECT_EQ(
      (*made)[0].mdev->attributes,
      (std::vector<mdev::MdevAttribute>{{.name = "nvidia/vgpu_params", .value = "frame_rate_limiter=0"}}));
}

TEST(ResolveDevices, MediatedDevicesThatCannotBe) {
  const auto reason = [](const std::string& device) {
    return Resolve("assigned_devices { mediated_device { " + device + " } }").error().reason();
  };
  EXPECT_EQ(reason("uuid: '99999999-2222-4333-8444-555555555555'"), "DEVICE_NOT_FOUND");
  EXPECT_EQ(reason("create { parent: 'nowhere' type: 'mtty-2' }"), "MDEV_PARENT_NOT_FOUND");
  EXPECT_EQ(reason("create { parent: 'mtty' type: 'mtty-9' }"), "MDEV_TYPE_NOT_FOUND");
  EXPECT_EQ(reason("create { parent: 'mtty' type: 'mtty-1' }"), "NO_MDEV_INSTANCE_LEFT");
}

TEST(ResolveDevices, SettingsOfAVirtualFunction) {
  const auto devices = Resolve(
      "assigned_devices { virtual_function { physical_function: '0000:01:00.0' vlan_id: 7 vlan_qos: 3 "
      "vlan_protocol: IEEE_802_1AD spoof_check: false trust: true link_state: LINK_STATE_ENABLE "
      "max_rate_mbps: 1000 min_rate_mbps: 10 } }");
  ASSERT_TRUE(devices) << devices.error().message();
  const net::VfSettings& settings = (*devices)[0].vf->settings;
  EXPECT_EQ(settings.vlan, (net::VfVlan{.id = 7, .qos = 3, .protocol = 0x88a8}));
  EXPECT_EQ(settings.rate, (net::VfRate{.min_mbps = 10, .max_mbps = 1000}));
  EXPECT_EQ(settings.spoof_check, false);
  EXPECT_EQ(settings.trust, true);
  EXPECT_EQ(settings.link_state, static_cast<int>(net::VfLinkState::kEnable));
  EXPECT_FALSE(settings.mac.has_value()) << "only what was asked for";
}

// Two of a kind on node 0, beside two on node 1: 0000:0N:00.0 for N from 5 to 8.
host::HostSnapshot HostWithFourAlike() {
  host::HostSnapshot host = host::SampleHost();
  for (int i = 0; i < 4; ++i) {
    host::PciFunction function;
    function.address = *host::PciAddress::Parse(fmt::format("0000:0{}:00.0", 5 + i));
    function.vendor_id = 0x10de;
    function.device_id = 0x2330;
    function.class_code = 0x030200;
    function.iommu_group = 30 + i;
    function.numa_node = i / 2;
    host.functions.push_back(function);
    host.groups.push_back({.id = 30 + i, .functions = {function.address}});
  }
  return host;
}

std::string KeyOfAny(const host::HostSnapshot& host, const std::string& more,
                     const std::vector<Claim>& claims = {},
                     const std::vector<Quarantined>& quarantined = {}) {
  const auto devices =
      ResolveDevices(host, Devices("assigned_devices { id: 'gpu' pci_selector { id: '10de:2330' } } " + more),
                     claims, quarantined, "me");
  return devices ? (*devices)[0].key : devices.error().reason();
}

TEST(ResolveDevices, AnyOfAKindIsAFreeOneOnTheGuestsNodeAndTheSameOneEveryTime) {
  const host::HostSnapshot host = HostWithFourAlike();
  EXPECT_EQ(KeyOfAny(host, ""), "pci/0000:05:00.0");
  EXPECT_EQ(KeyOfAny(host, "", {{"pci/0000:05:00.0", "other", "x", "guests/other"}}), "pci/0000:06:00.0");
  EXPECT_EQ(KeyOfAny(host, "", {}, {{.device = "pci/0000:05:00.0"}}), "pci/0000:06:00.0");
  EXPECT_EQ(KeyOfAny(host, "placement { host_nodes: 1 }"), "pci/0000:07:00.0");
  EXPECT_EQ(KeyOfAny(host, "placement { host_nodes: 1 }", {{"pci/0000:06:00.0", "me", "gpu", "guests/me"}}),
            "pci/0000:06:00.0");
}

TEST(ResolveDevices, SeveralOfAKindAreDifferentAndOnOneNode) {
  const auto devices =
      ResolveDevices(HostWithFourAlike(),
                     Devices("assigned_devices { pci_selector { id: '10de:2330' host_nodes: 1 } }"
                             "assigned_devices { pci_selector { id: '10de:2330' } }"),
                     {}, {}, "me");
  ASSERT_TRUE(devices) << devices.error().message();
  EXPECT_EQ((*devices)[0].key, "pci/0000:07:00.0");
  EXPECT_EQ((*devices)[1].key, "pci/0000:08:00.0");
}

TEST(ResolveDevices, AnyOfAKindSaysWhyThereIsNone) {
  std::vector<Claim> claims;
  for (int i = 5; i < 9; ++i) {
    claims.push_back({fmt::format("pci/0000:0{}:00.0", i), "other", "x", "guests/other"});
  }
  const auto taken =
      ResolveDevices(HostWithFourAlike(), Devices("assigned_devices { pci_selector { id: '10de:2330' } }"),
                     claims, {}, "me");
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(taken.error().reason(), "NO_DEVICE_LEFT");
  EXPECT_THAT(taken.error().message(), testing::HasSubstr("0000:08:00.0 is in use by guests/other"));
  EXPECT_EQ(Resolve("assigned_devices { pci_selector { id: '10de:2330' } }").error().reason(),
            "DEVICE_NOT_FOUND");
}

TEST(ResolveDevices, AnyOfAKindIsNoneThatTheHostMayBeUsing) {
  // A storage controller with its driver, which has virtual functions besides; a NIC whose interface is up.
  const auto nic = Resolve("assigned_devices { pci_selector { id: '8086:10c9' } }");
  ASSERT_FALSE(nic);
  EXPECT_THAT(nic.error().message(), testing::HasSubstr("enp1s0 is up"));
  const auto disk = Resolve("assigned_devices { pci_selector { id: '8086:2922' } }");
  ASSERT_FALSE(disk);
  EXPECT_THAT(disk.error().message(), testing::HasSubstr("storage controller"));
  // Of three alike only the virtual functions, which nobody uses.
  EXPECT_EQ((*Resolve("assigned_devices { pci_selector { id: '1b36:0010' } }"))[0].key, "vf/0000:02:00.0/0");
}

TEST(ResolveDevices, AGroupIsHadWholeBySelectors) {
  host::HostSnapshot host = HostWithFourAlike();
  // Each display has a sound function in its group.
  const std::vector<host::PciFunction> displays(host.functions.end() - 4, host.functions.end());
  for (int i = 0; i < 4; ++i) {
    host::PciFunction sound = displays[i];
    sound.address.function = 1;
    sound.device_id = 0x1aef;
    sound.class_code = 0x040300;
    sound.driver = "snd_hda_intel";
    host.groups[host.groups.size() - 4 + i].functions.push_back(sound.address);
    host.functions.push_back(sound);
  }
  EXPECT_EQ(KeyOfAny(host, ""), "NO_DEVICE_LEFT") << "the host's sound driver is in the way";
  const auto both =
      ResolveDevices(host,
                     Devices("assigned_devices { pci_selector { id: '10de:2330' host_nodes: 1 } }"
                             "assigned_devices { pci_selector { id: '10de:1aef' } }"),
                     {}, {}, "me");
  ASSERT_TRUE(both) << both.error().message();
  EXPECT_EQ((*both)[1].key, "pci/0000:07:00.1");
}

TEST(ResolveDevices, AMediatedDeviceOfAnyParent) {
  host::HostSnapshot host = host::SampleHost();
  for (int node : {0, 1}) {
    host.mdev_parents.push_back({.name = fmt::format("gpu{}", node), .numa_node = node});
    host.mdev_parents.back().types = {{.id = "vgpu-4", .available_instances = 4 - node}};
  }
  const auto parent = [&](const std::string& more) {
    const auto devices = ResolveDevices(
        host, Devices("assigned_devices { mediated_device { create { type: 'vgpu-4' } } } " + more), {}, {},
        "me");
    return devices ? (*devices)[0].mdev->parent : devices.error().message();
  };
  EXPECT_EQ(parent(""), "gpu0") << "where most are left";
  EXPECT_EQ(parent("placement { host_nodes: 1 }"), "gpu1");
  host.mdev_parents.back().types[0].available_instances = 0;
  EXPECT_EQ(parent("placement { host_nodes: 1 }"), "gpu0");
  EXPECT_EQ(Resolve("assigned_devices { mediated_device { create { type: 'x' } } }").error().message(),
            "assigned0: the host has no type x of mediated devices; it has mtty-1, mtty-2");
}

TEST(ResolveDevices, TheLastInstanceStaysTheRunningGuestsOwn) {
  host::HostSnapshot host = host::SampleHost();
  host.mdev_parents[0].types[1].available_instances = 0;
  const std::string uuid = "11111111-2222-4333-8444-555555555555";
  const auto devices = ResolveDevices(
      host, Devices("assigned_devices { mediated_device { create { parent: 'mtty' type: 'mtty-2' } } }"),
      {{"mdev/" + uuid, "me", "assigned0", "guests/me"}}, {}, "me");
  ASSERT_TRUE(devices) << devices.error().message();
  EXPECT_EQ((*devices)[0].mdev->uuid, uuid);
}

TEST(ResolveDevices, AVendorsVgpuIsAskedForAsAMediatedDeviceOfItsType) {
  host::HostSnapshot host = HostWithFourAlike();
  for (size_t i = host.functions.size() - 4; i < host.functions.size(); ++i) {
    host.functions[i].driver = "nvidia";
    host.functions[i].vgpu = host::VendorVgpu{.creatable_types = {{.id = 1148, .name = "NVIDIA L40S-2Q"}}};
  }
  const v1::GuestSpec spec = Devices(
      "assigned_devices { mediated_device { create { type: 'nvidia-1148' } } } placement { host_nodes: 1 }");
  const auto devices = ResolveDevices(host, spec, {}, {}, "me");
  ASSERT_TRUE(devices) << devices.error().message();
  EXPECT_EQ((*devices)[0].key, "pci/0000:07:00.0");
  EXPECT_EQ((*devices)[0].vgpu_type, 1148);
  // Another guest's is passed over; this guest's is found again while it is one.
  EXPECT_EQ(
      (*ResolveDevices(host, spec, {{"pci/0000:07:00.0", "other", "x", "guests/other"}}, {}, "me"))[0].key,
      "pci/0000:08:00.0");
  host.functions.back().vgpu = host::VendorVgpu{.current_type = 1148};
  EXPECT_EQ(
      (*ResolveDevices(host, spec, {{"pci/0000:08:00.0", "me", "assigned0", "guests/me"}}, {}, "me"))[0].key,
      "pci/0000:08:00.0");
  EXPECT_EQ(
      Resolve(
          "assigned_devices { mediated_device { create { parent: '0000:03:00.0' type: 'nvidia-1148' } } }")
          .error()
          .reason(),
      "MDEV_PARENT_NOT_FOUND");
}

TEST(ResolveDevices, AMediatedDeviceThatIsDefinedWithMdevctl) {
  host::HostSnapshot host = host::SampleHost();
  const std::string uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
  host.mdev_definitions = {{.uuid = uuid, .parent = "mtty", .type = "mtty-2", .attributes = {{"x", "1"}}}};
  const v1::GuestSpec spec = Devices("assigned_devices { mediated_device { uuid: '" + uuid + "' } }");
  const auto devices = ResolveDevices(host, spec, {}, {}, "me");
  ASSERT_TRUE(devices) << devices.error().message();
  EXPECT_EQ((*devices)[0].key, "mdev/" + uuid);
  EXPECT_TRUE((*devices)[0].mdev->create);
  EXPECT_EQ((*devices)[0].mdev->attributes, (std::vector<mdev::MdevAttribute>{{.name = "x", .value = "1"}}));
  host.mdevs.push_back({.uuid = uuid, .parent = "mtty", .type = "mtty-2"});
  EXPECT_FALSE((*ResolveDevices(host, spec, {}, {}, "me"))[0].mdev->create) << "it is there";
  host.mdevs.pop_back();
  host.mdev_definitions[0].type = "mtty-1";
  EXPECT_EQ(ResolveDevices(host, spec, {}, {}, "me").error().reason(), "NO_MDEV_INSTANCE_LEFT");
}

}  // namespace
}  // namespace berth::server

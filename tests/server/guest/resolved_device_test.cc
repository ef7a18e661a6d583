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

TEST(ResolveDevices, MediatedDevicesThatCannotBe) {
  const auto reason = [](const std::string& device) {
    return Resolve("assigned_devices { mediated_device { " + device + " } }").error().reason();
  };
  EXPECT_EQ(reason("uuid: '99999999-2222-4333-8444-555555555555'"), "DEVICE_NOT_FOUND");
  EXPECT_EQ(reason("create { parent: 'nowhere' type: 'mtty-2' }"), "MDEV_PARENT_NOT_FOUND");
  EXPECT_EQ(reason("create { parent: 'mtty' type: 'mtty-9' }"), "MDEV_TYPE_NOT_FOUND");
  EXPECT_EQ(reason("create { parent: 'mtty' type: 'mtty-1' }"), "NO_MDEV_INSTANCE_LEFT");
}

}  // namespace
}  // namespace berth::server

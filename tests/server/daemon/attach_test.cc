// Devices that come to a running guest and leave it, and those that no guest may have any more.
#include "tests/server/daemon/daemon_fixture.h"

namespace berth::server {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

constexpr char kDisplay[] = "0000:03:00.0";
constexpr char kDisplayName[] = "host/devices/pci-0000-03-00-0";

v1::AssignedDeviceSpec Display(const std::string& id = "") {
  v1::AssignedDeviceSpec device;
  device.set_id(id);
  device.set_pci_address(kDisplay);
  return device;
}

class AttachTest : public DaemonFixture {
 protected:
  Result<v1::HostDevice> Recover(const std::string& name, bool skip_reset = false) {
    grpc::ClientContext context;
    v1::RecoverHostDeviceRequest request;
    request.set_name(name);
    request.set_skip_reset(skip_reset);
    v1::HostDevice device;
    const grpc::Status status = hosts_->RecoverHostDevice(&context, request, &device);
    if (!status.ok()) return Fail(ErrorOf(status));
    return device;
  }
  void Reset(const std::string& name) {
    grpc::ClientContext context;
    v1::ResetGuestRequest request;
    request.set_name(name);
    v1::Guest guest;
    EXPECT_TRUE(guests_->ResetGuest(&context, request, &guest).ok());
  }
  // Waits until the device is in this state.
  v1::HostDevice AwaitDevice(const std::string& name, v1::HostDevice::State state) {
    grpc::ClientContext context;
    v1::WatchHostDevicesRequest request;
    request.set_parent("host");
    request.set_filter("name = " + name);
    const auto stream = hosts_->WatchHostDevices(&context, request);
    v1::WatchHostDevicesResponse told;
    while (stream->Read(&told) && told.device().state() != state) continue;
    context.TryCancel();
    EXPECT_EQ(told.device().state(), state);
    return told.device();
  }
};

TEST_F(AttachTest, ADeviceComesAndGoes) {
  ASSERT_TRUE(Create(Guest("web")));
  const auto attached = Attach("guests/web", Display());
  ASSERT_TRUE(attached) << attached.error().message();
  ASSERT_EQ(attached->claimed_devices_size(), 1);
  EXPECT_EQ(attached->claimed_devices(0).id(), "assigned0");
  EXPECT_EQ(attached->claimed_devices(0).guest_address(), "0000:11:00.0");
  EXPECT_EQ(attached->spec().assigned_devices(0).pci_address(), kDisplay) << "it stays the guest's";
  EXPECT_THAT(host_->Changes(), Contains(Pair("driver 0000:03:00.0", "vfio-pci")));
  EXPECT_EQ(GetDevice(kDisplayName)->state(), v1::HostDevice::ASSIGNED);

  const auto detached = Detach("guests/web", "assigned0");
  ASSERT_TRUE(detached) << detached.error().message();
  EXPECT_EQ(detached->claimed_devices_size(), 0);
  EXPECT_EQ(detached->spec().assigned_devices_size(), 0);
  EXPECT_EQ(detached->state(), v1::Guest::RUNNING);
  EXPECT_EQ(host_->Changes().count("driver 0000:03:00.0"), 0u);
  EXPECT_EQ(GetDevice(kDisplayName)->state(), v1::HostDevice::AVAILABLE);
}

TEST_F(AttachTest, TheOthersKeepTheirIds) {
  v1::CreateGuestRequest request = Guest("web");
  for (int i = 0; i < 2; ++i) {
    request.mutable_guest()
        ->mutable_spec()
        ->add_assigned_devices()
        ->mutable_virtual_function()
        ->set_physical_function("0000:01:00.0");
  }
  ASSERT_TRUE(Create(request));
  ASSERT_TRUE(Detach("guests/web", "assigned0"));
  EXPECT_THAT(host_->Changes(), Contains(Pair("vfs 0000:01:00.0", "7"))) << "the other needs them still";
  const auto attached = Attach("guests/web", Display());
  ASSERT_TRUE(attached) << attached.error().message();
  ASSERT_EQ(attached->spec().assigned_devices_size(), 2);
  EXPECT_EQ(attached->spec().assigned_devices(0).id(), "assigned1");
  EXPECT_EQ(attached->spec().assigned_devices(1).id(), "assigned0") << "the first that is free";
  ASSERT_TRUE(Delete("guests/web", true));
  ExpectNothingLeft();
}

TEST_F(AttachTest, AnAttachmentThatFailsLeavesNothing) {
  ASSERT_TRUE(Create(Guest("web", "fail=plug_device:NO_FREE_PORT")));
  const auto before = host_->Changes();
  const auto refused = Attach("guests/web", Display());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "NO_FREE_PORT");
  EXPECT_EQ(host_->Changes(), before);
  EXPECT_EQ(Get("guests/web")->spec().assigned_devices_size(), 0);
  EXPECT_EQ(GetDevice(kDisplayName)->state(), v1::HostDevice::AVAILABLE);
}

TEST_F(AttachTest, WhatCannotBeAttachedIsRefusedAtOnce) {
  ASSERT_TRUE(Create(Guest("web")));
  v1::CreateGuestRequest other = Guest("db");
  *other.mutable_guest()->mutable_spec()->add_assigned_devices() = Display();
  other.set_start(false);
  ASSERT_TRUE(Create(other));
  const auto in_use = Attach("guests/web", Display());
  EXPECT_EQ(in_use.error().reason(), "DEVICE_IN_USE");
  EXPECT_EQ(in_use.error().field(), "device");
  v1::AssignedDeviceSpec bad = Display();
  bad.set_pci_address("here");
  EXPECT_EQ(Attach("guests/web", bad).error().field(), "device.pci_address");
  EXPECT_EQ(Attach("guests/db", Display()).error().reason(), "GUEST_NOT_RUNNING");
  EXPECT_EQ(Detach("guests/web", "gpu").error().reason(), "DEVICE_NOT_FOUND");
}

TEST_F(AttachTest, ValidateOnlyChangesNothing) {
  ASSERT_TRUE(Create(Guest("web")));
  v1::AttachDeviceRequest request;
  request.set_name("guests/web");
  *request.mutable_device() = Display("gpu");
  request.set_validate_only(true);
  const auto shown = Operate(&v1::GuestService::Stub::AttachDevice, request);
  ASSERT_TRUE(shown) << shown.error().message();
  EXPECT_EQ(shown->claimed_devices(0).id(), "gpu");
  EXPECT_EQ(Get("guests/web")->claimed_devices_size(), 0);
}

TEST_F(AttachTest, AGuestThatKeepsADeviceKeepsItUnlessForced) {
  ASSERT_TRUE(Create(Guest("web", "ignore_unplug")));
  ASSERT_TRUE(Attach("guests/web", Display("gpu")));
  const auto kept = Detach("guests/web", "gpu");
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().reason(), "GUEST_KEEPS_DEVICE");
  EXPECT_EQ(Get("guests/web")->claimed_devices_size(), 1);
  ASSERT_TRUE(Detach("guests/web", "gpu", true));
  EXPECT_EQ(Get("guests/web")->claimed_devices_size(), 0);

  // Nobody knows what it was doing.
  const auto device = GetDevice(kDisplayName);
  EXPECT_EQ(device->state(), v1::HostDevice::QUARANTINED);
  EXPECT_THAT(device->obstacle(), HasSubstr("FORCED_DETACH"));
  EXPECT_EQ(Attach("guests/web", Display()).error().reason(), "DEVICE_QUARANTINED");
  const auto recovered = Recover(kDisplayName);
  ASSERT_TRUE(recovered) << recovered.error().message();
  EXPECT_EQ(recovered->state(), v1::HostDevice::AVAILABLE);
  EXPECT_TRUE(Attach("guests/web", Display()));
}

TEST_F(AttachTest, ADeviceThatTheGuestEjectsIsGivenBack) {
  ASSERT_TRUE(Create(Guest("web", "eject=gpu")));
  ASSERT_TRUE(Attach("guests/web", Display("gpu")));
  Reset("guests/web");
  AwaitDevice(kDisplayName, v1::HostDevice::AVAILABLE);
  EXPECT_EQ(Get("guests/web")->claimed_devices_size(), 0);
  EXPECT_EQ(host_->Changes().count("driver 0000:03:00.0"), 0u);
}

TEST_F(AttachTest, ADeviceThatFailsIsQuarantined) {
  ASSERT_TRUE(Create(Guest("web", "break=gpu")));
  ASSERT_TRUE(Attach("guests/web", Display("gpu")));
  Reset("guests/web");
  const v1::HostDevice device = AwaitDevice(kDisplayName, v1::HostDevice::QUARANTINED);
  EXPECT_EQ(device.guest(), "guests/web");
  EXPECT_EQ(Recover(kDisplayName).error().reason(), "DEVICE_IN_USE");
}

TEST_F(AttachTest, ADeviceThatDoesNotComeBackIsQuarantined) {
  v1::CreateGuestRequest request = Guest("web");
  *request.mutable_guest()->mutable_spec()->add_assigned_devices() = Display();
  ASSERT_TRUE(Create(request));
  host_->Lose(kDisplay, true);
  ASSERT_TRUE(Stop("guests/web"));
  EXPECT_THAT(GetDevice(kDisplayName)->obstacle(), HasSubstr("DEVICE_LOST"));
  EXPECT_EQ(Start("guests/web").error().reason(), "DEVICE_QUARANTINED");
  EXPECT_EQ(Recover(kDisplayName).error().reason(), "DEVICE_LOST") << "a reset does not help";
  ASSERT_TRUE(Recover(kDisplayName, true)) << "somebody has seen to it";
  EXPECT_EQ(Recover(kDisplayName).error().reason(), "NOT_QUARANTINED");
}

TEST_F(AttachTest, ADeviceThatLeftWhileTheDaemonWasAwayIsGivenBack) {
  ASSERT_TRUE(Create(Guest("web")));
  ASSERT_TRUE(Attach("guests/web", Display("gpu")));
  {
    // The daemon ends between the device's leaving and its return to the host.
    host_->FailUndo("driver");
    EXPECT_FALSE(Detach("guests/web", "gpu"));
    EXPECT_EQ(GetDevice(kDisplayName)->state(), v1::HostDevice::QUARANTINED);
  }
  StartDaemonAgain();
  EXPECT_EQ(Get("guests/web")->state(), v1::Guest::RUNNING);
  EXPECT_EQ(Get("guests/web")->claimed_devices_size(), 0);
  EXPECT_EQ(host_->Changes().count("driver 0000:03:00.0"), 0u);
}

// A crash between any two of the changes that an attachment makes.
TEST_F(AttachTest, ACrashOnTheWayLosesNothing) {
  for (const bool after : {false, true}) {
    ASSERT_TRUE(Create(Guest("web")));
    const auto before = host_->Changes();
    host_->StopAt(host_->changes_made(), after);
    EXPECT_FALSE(Attach("guests/web", Display("gpu")));
    StartDaemonAgain();
    EXPECT_EQ(Get("guests/web")->state(), v1::Guest::RUNNING);
    EXPECT_EQ(Get("guests/web")->claimed_devices_size(), 0);
    EXPECT_EQ(host_->Changes(), before) << after;
    // Unlike one that crashes, this test's daemon lived on and saw that the host took nothing back.
    if (GetDevice(kDisplayName)->state() == v1::HostDevice::QUARANTINED) {
      ASSERT_TRUE(Recover(kDisplayName));
    }
    const auto attached = Attach("guests/web", Display("gpu"));
    ASSERT_TRUE(attached) << attached.error().message();
    ASSERT_TRUE(Delete("guests/web", true));
    ExpectNothingLeft();
  }
}

}  // namespace
}  // namespace berth::server

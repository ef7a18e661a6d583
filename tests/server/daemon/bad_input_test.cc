// Every way to ask for a guest that cannot be: the code and the reason the caller gets, and nothing left
// behind.
#include <google/protobuf/text_format.h>
#include <google/protobuf/unknown_field_set.h>

#include "tests/server/daemon/daemon_fixture.h"

namespace berth::server {
namespace {

class BadInput : public DaemonFixture {
 protected:
  // Creates a guest whose spec has this on top; expects a refusal and nothing left.
  void ExpectRefused(const std::string& spec, Code code, const std::string& reason) {
    v1::CreateGuestRequest request = Guest("web");
    ASSERT_TRUE(google::protobuf::TextFormat::MergeFromString(spec, request.mutable_guest()->mutable_spec()))
        << spec;
    ExpectRefused(request, code, reason);
  }
  void ExpectRefused(const v1::CreateGuestRequest& request, Code code, const std::string& reason) {
    const auto created = Create(request);
    ASSERT_FALSE(created);
    EXPECT_EQ(created.error().code(), code) << created.error().message();
    EXPECT_EQ(created.error().reason(), reason) << created.error().message();
    EXPECT_EQ(Get("guests/" + request.guest_id()).error().reason(), "GUEST_NOT_FOUND");
    ExpectNothingLeft();
  }
};

TEST_F(BadInput, UnknownDevice) {
  ExpectRefused("assigned_devices { pci_address: '0000:77:00.0' }", Code::kNotFound, "DEVICE_NOT_FOUND");
}

TEST_F(BadInput, DeviceInUse) {
  v1::CreateGuestRequest owner = Guest("owner");
  owner.set_start(false);
  owner.mutable_guest()->mutable_spec()->add_assigned_devices()->set_pci_address("0000:03:00.0");
  ASSERT_TRUE(Create(owner));
  ExpectRefused("assigned_devices { pci_address: '0000:03:00.0' }", Code::kFailedPrecondition,
                "DEVICE_IN_USE");
  ASSERT_TRUE(Delete("guests/owner"));
  EXPECT_TRUE(Create(owner)) << "the claim ended with its guest";
}

TEST_F(BadInput, TwoGuestsWantOneDeviceAtOnce) {
  std::vector<std::thread> callers;
  std::atomic<int> created{0}, refused{0};
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&, i] {
      v1::CreateGuestRequest request = Guest("guest" + std::to_string(i));
      request.mutable_guest()->mutable_spec()->add_assigned_devices()->set_pci_address("0000:03:00.0");
      const auto guest = Create(request);
      ++(guest ? created : refused);
      if (!guest) {
        EXPECT_EQ(guest.error().reason(), "DEVICE_IN_USE");
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(created, 1);
  EXPECT_EQ(refused, 3);
}

TEST_F(BadInput, GroupNotViable) {
  ExpectRefused("assigned_devices { pci_address: '0000:00:1f.2' }", Code::kFailedPrecondition,
                "IOMMU_GROUP_NOT_VIABLE");
}

TEST_F(BadInput, DeviceWithoutIommu) {
  ExpectRefused("assigned_devices { pci_address: '0000:04:00.0' }", Code::kFailedPrecondition,
                "NO_IOMMU_GROUP");
}

TEST_F(BadInput, MoreVcpusThanCpusWithPinning) {
  ExpectRefused("cpus { vcpu_count: 9 } placement { dedicated_cpus: true }", Code::kResourceExhausted,
                "NOT_ENOUGH_HOST_CPUS");
}

TEST_F(BadInput, ACpuThatIsNotThere) {
  ExpectRefused("placement { host_cpus: 99 }", Code::kNotFound, "HOST_CPU_NOT_FOUND");
}

TEST_F(BadInput, ACpuOfAnotherGuest) {
  v1::CreateGuestRequest owner = Guest("owner");
  owner.mutable_guest()->mutable_spec()->mutable_placement()->add_host_cpus(5);
  ASSERT_TRUE(Create(owner));
  v1::CreateGuestRequest request = owner;
  request.set_guest_id("web");
  const auto refused = Create(request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "HOST_CPU_IN_USE");
}

TEST_F(BadInput, MemoryThatDoesNotFit) {
  ExpectRefused("memory { size_bytes: 1099511627776 }", Code::kResourceExhausted, "NOT_ENOUGH_MEMORY");
}

TEST_F(BadInput, MissingKernel) {
  ExpectRefused("boot { kernel_path: '/nowhere/vmlinuz' }", Code::kNotFound, "KERNEL_NOT_FOUND");
}

TEST_F(BadInput, AKernelThatIsADirectory) {
  ExpectRefused("boot { kernel_path: '/' }", Code::kInvalidArgument, "KERNEL_NOT_A_FILE");
}

TEST_F(BadInput, MissingInitrd) {
  ExpectRefused("boot { initrd_path: '/nowhere/initrd' }", Code::kNotFound, "INITRD_NOT_FOUND");
}

// Only the VMM reads the kernel: its refusal is the operation's.
TEST_F(BadInput, CorruptKernel) {
  ExpectRefused("boot { command_line: 'fail=build:KERNEL_NOT_BOOTABLE' }", Code::kFailedPrecondition,
                "KERNEL_NOT_BOOTABLE");
}

TEST_F(BadInput, MissingImage) {
  ExpectRefused("disks { path: '/nowhere/disk.img' }", Code::kNotFound, "IMAGE_NOT_FOUND");
}

TEST_F(BadInput, AnImageOfAnotherGuest) {
  const std::string image = scratch_.Write("disk.img", std::string(4096, 'x'));
  v1::CreateGuestRequest owner = Guest("owner");
  owner.mutable_guest()->mutable_spec()->add_disks()->set_path(image);
  ASSERT_TRUE(Create(owner));
  v1::CreateGuestRequest request = owner;
  request.set_guest_id("web");
  const auto refused = Create(request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(refused.error().reason(), "IMAGE_IN_USE");
  EXPECT_EQ(refused.error().field(), "guest.spec.disks[0].path");
  ASSERT_TRUE(Stop("guests/owner"));
  EXPECT_TRUE(Create(request)) << "the lock ended with the VMM";
}

TEST_F(BadInput, AnImageReadByTwoGuests) {
  const std::string image = scratch_.Write("disk.img", std::string(4096, 'x'));
  for (const char* id : {"one", "two"}) {
    v1::CreateGuestRequest request = Guest(id);
    v1::DiskSpec* disk = request.mutable_guest()->mutable_spec()->add_disks();
    disk->set_path(image);
    disk->set_read_only(true);
    EXPECT_TRUE(Create(request)) << id;
  }
}

TEST_F(BadInput, MissingBridge) {
  ExpectRefused("network_interfaces { bridge: 'br9' }", Code::kNotFound, "BRIDGE_NOT_FOUND");
  ExpectRefused("network_interfaces { bridge: 'enp1s0' }", Code::kNotFound, "BRIDGE_NOT_FOUND");
}

TEST_F(BadInput, UnknownFields) {
  v1::CreateGuestRequest request = Guest("web");
  v1::GuestSpec* spec = request.mutable_guest()->mutable_spec();
  spec->add_disks()->set_path(kernel_);
  spec->mutable_disks(0)->GetReflection()->MutableUnknownFields(spec->mutable_disks(0))->AddVarint(77, 1);
  const auto created = Create(request);
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(created.error().reason(), "UNKNOWN_FIELD");
  EXPECT_EQ(created.error().field(), "guest.spec.disks[0]");
}

TEST_F(BadInput, TwoGuestsWithOneName) {
  ASSERT_TRUE(Create(Guest("web")));
  const auto second = Create(Guest("web"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kAlreadyExists);
  EXPECT_EQ(second.error().reason(), "GUEST_EXISTS");
}

TEST_F(BadInput, ABadName) { ExpectRefused(Guest("No-Such"), Code::kInvalidArgument, "BAD_GUEST_ID"); }

TEST_F(BadInput, AHostThatRefusesAChange) {
  host_->FailApply("tap");
  ExpectRefused("network_interfaces { bridge: 'br0' } assigned_devices { pci_address: '0000:03:00.0' }",
                Code::kFailedPrecondition, "HOST_REFUSES");
}

TEST_F(BadInput, WhatCannotBePutBackIsKeptAndShown) {
  host_->FailApply("process");
  host_->FailUndo("driver");
  v1::CreateGuestRequest request = Guest("web");
  request.mutable_guest()->mutable_spec()->add_assigned_devices()->set_pci_address("0000:03:00.0");
  const auto created = Create(request);
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().reason(), "HOST_REFUSES");
  EXPECT_EQ(Get("guests/web")->state(), v1::Guest::FAILED);
  v1::GetHostDeviceRequest get;
  get.set_name("host/devices/pci-0000-03-00-0");
  grpc::ClientContext context;
  v1::HostDevice device;
  ASSERT_TRUE(hosts_->GetHostDevice(&context, get, &device).ok());
  EXPECT_EQ(device.state(), v1::HostDevice::QUARANTINED);
  EXPECT_EQ(device.guest(), "guests/web");
  EXPECT_EQ(Start("guests/web").error().reason(), "HOST_NOT_RESTORED");
  EXPECT_FALSE(Delete("guests/web"));
  host_->Heal();
  EXPECT_TRUE(Delete("guests/web"));
  ExpectNothingLeft();
}

class BadVmm : public BadInput, public testing::WithParamInterface<std::pair<const char*, const char*>> {};

TEST_P(BadVmm, FailsTheCreationAndLeavesNothing) {
  const auto& [misdeed, reason] = GetParam();
  const auto created = Create(Guest("web", misdeed));
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().reason(), reason) << created.error().message();
  EXPECT_EQ(Get("guests/web").error().reason(), "GUEST_NOT_FOUND");
  ExpectNothingLeft();
}

INSTANTIATE_TEST_SUITE_P(Misdeeds, BadVmm,
                         testing::Values(std::pair("die=build", "VMM_GONE"),
                                         std::pair("die=subscribe", "VMM_GONE"),
                                         std::pair("die=run", "VMM_GONE"),
                                         std::pair("lie=build", "VMM_PROTOCOL_ERROR"),
                                         std::pair("garbage=run", "VMM_PROTOCOL_ERROR"),
                                         std::pair("foreign_tids", "VMM_PROTOCOL_ERROR"),
                                         std::pair("fail=run:NO_SUCH_LUCK", "NO_SUCH_LUCK")));

TEST_F(BadInput, AVmmThatFloodsIsNoTrouble) {
  ASSERT_TRUE(Create(Guest("web", "flood=run")));
  ASSERT_TRUE(Create(Guest("other")));
  EXPECT_TRUE(Stop("guests/web", true));
}

}  // namespace
}  // namespace berth::server

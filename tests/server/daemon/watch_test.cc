// Watching the host's devices.
#include <fstream>

#include "tests/server/daemon/daemon_fixture.h"

namespace berth::server {
namespace {

using Told = v1::WatchHostDevicesResponse;

class WatchTest : public DaemonFixture {
 protected:
  void Watch(const std::string& filter) {
    v1::WatchHostDevicesRequest request;
    request.set_parent("host");
    request.set_filter(filter);
    stream_ = hosts_->WatchHostDevices(&context_, request);
  }
  ~WatchTest() override {
    context_.TryCancel();
    if (stream_) (void)stream_->Finish();
  }
  // Reads until the stream tells of this kind; the device it tells of.
  v1::HostDevice Await(Told::Kind kind) {
    Told told;
    while (stream_->Read(&told)) {
      if (told.kind() == kind) return told.device();
    }
    ADD_FAILURE() << "the stream ended: " << stream_->Finish().error_message();
    return {};
  }

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<Told>> stream_;
};

TEST_F(WatchTest, TellsWhatTheKernelTells) {
  Watch("pci.address = 0000:03:00.0");
  EXPECT_EQ(Await(Told::ADDED).driver(), "");
  Await(Told::SYNCED);
  std::ofstream(scratch_ / "host/driver 0000:03:00.0") << "bochs-drm";
  host_->TellChange("bind@/devices/pci0000:00/0000:03:00.0", "pci");
  EXPECT_EQ(Await(Told::CHANGED).driver(), "bochs-drm");
}

TEST_F(WatchTest, TellsWhoHasADevice) {
  Watch("pci.address = 0000:03:00.0");
  Await(Told::SYNCED);
  v1::CreateGuestRequest request = Guest("web");
  request.mutable_guest()->mutable_spec()->add_assigned_devices()->set_pci_address("0000:03:00.0");
  ASSERT_TRUE(Create(request));
  v1::HostDevice device;
  while (device.state() != v1::HostDevice::ASSIGNED) device = Await(Told::CHANGED);
  EXPECT_EQ(device.guest(), "guests/web");
  ASSERT_TRUE(Delete("guests/web", true));
  while (device.state() != v1::HostDevice::AVAILABLE) device = Await(Told::CHANGED);
  EXPECT_EQ(device.guest(), "");
}

TEST_F(WatchTest, ADeviceThatCeasesToMatchIsRemoved) {
  Watch("state = AVAILABLE AND pci.address = 0000:03:00.0");
  Await(Told::SYNCED);
  v1::CreateGuestRequest request = Guest("web");
  request.mutable_guest()->mutable_spec()->add_assigned_devices()->set_pci_address("0000:03:00.0");
  ASSERT_TRUE(Create(request));
  EXPECT_EQ(Await(Told::REMOVED).pci().address(), "0000:03:00.0");
}

TEST_F(WatchTest, ABadFilterIsRefused) {
  Watch("colour = red");
  Told told;
  EXPECT_FALSE(stream_->Read(&told));
  EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  stream_.reset();
}

}  // namespace
}  // namespace berth::server

// virtio-net by the kernel's vhost-net, on the lab host.
#include <fcntl.h>

#include "tests/hw/virtio/net_tap_fixture.h"

namespace berth::hw {
namespace {

struct Vhost : TapNic {
  void SetUp() override {
    auto opened = Open("/dev/vhost-net", O_RDWR);
    ASSERT_TRUE(opened) << opened.error().message();
    ASSERT_TRUE(Entered()) << Entered().error().message();
    vhost.push_back(*net::VhostNet::Open(std::move(*opened)));
  }
  std::vector<std::unique_ptr<net::VhostNet>> vhost;
};

TEST_F(Vhost, FramesPassBothWays) {
  Start(std::move(vhost), kVirtioRingEventIdx);
  ASSERT_TRUE(device->uses_vhost());
  FramesPassBothWays(this);
}

TEST_F(Vhost, LargeSegmentsPass) {
  Start(std::move(vhost), kVirtioRingPacked);  // Refused, so it is a split ring.
  ASSERT_TRUE(device->uses_vhost());
  LargeSegmentsPass(this);
}

TEST_F(Vhost, WorksAgainAfterAReset) {
  Start(std::move(vhost), 0);
  FramesPassBothWays(this);
  virtio->Reset();
  ASSERT_TRUE(virtio->Activate(device->features()));
  ASSERT_TRUE(device->uses_vhost());
  addresses.clear();
  FramesPassBothWays(this);
}

}  // namespace
}  // namespace berth::hw

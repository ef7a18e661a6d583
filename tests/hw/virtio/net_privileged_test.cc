// virtio-net on a tap of the kernel: needs root, or user namespaces, and /dev/net/tun.
#include "tests/hw/virtio/net_tap_fixture.h"

namespace berth::hw {
namespace {

struct PrivilegedNet : TapNic {
  void SetUp() override {
    if (!Entered()) GTEST_SKIP() << Entered().error().message();
    if (::access("/dev/net/tun", R_OK | W_OK) != 0) GTEST_SKIP() << "/dev/net/tun is not there";
  }
};

TEST_F(PrivilegedNet, FramesPassBothWays) {
  Start({}, kVirtioRingEventIdx);
  FramesPassBothWays(this);
}

TEST_F(PrivilegedNet, FramesPassBothWaysByPackedRings) {
  Start({}, kVirtioRingEventIdx | kVirtioRingPacked);
  FramesPassBothWays(this);
}

TEST_F(PrivilegedNet, LargeSegmentsPass) {
  Start({}, 0);
  LargeSegmentsPass(this);
}

}  // namespace
}  // namespace berth::hw

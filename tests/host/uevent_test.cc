#include "host/uevent.h"

#include <gtest/gtest.h>

namespace berth::host {
namespace {

using namespace std::string_literals;

TEST(Uevent, TellsActionPathAndSubsystem) {
  const auto event = ParseUevent(
      "bind@/devices/pci0000:00/0000:00:03.0\0ACTION=bind\0DEVPATH=/devices/pci0000:00/0000:00:03.0\0"
      "SUBSYSTEM=pci\0DRIVER=vfio-pci\0SEQNUM=4711\0"s);
  ASSERT_TRUE(event);
  EXPECT_EQ(*event, (Uevent{"bind", "/devices/pci0000:00/0000:00:03.0", "pci"}));
}

TEST(Uevent, OthersAreNone) {
  EXPECT_FALSE(ParseUevent(""));
  EXPECT_FALSE(ParseUevent("libudev\0\xfe\xed\xca\xfe"s));  // udev's own.
  EXPECT_FALSE(ParseUevent("add@/devices/x"));              // Cut.
  EXPECT_FALSE(ParseUevent("@/devices/x\0"s));
  EXPECT_FALSE(ParseUevent("\0add@/devices/x\0"s));
}

TEST(Uevent, NothingIsThereUntilTheKernelSpeaks) {
  const auto socket = ListenForUevents();
  ASSERT_TRUE(socket) << socket.error().ToString();
  const auto event = ReceiveUevent(socket->get());
  ASSERT_TRUE(event) << event.error().ToString();
  EXPECT_FALSE(*event);
}

}  // namespace
}  // namespace berth::host

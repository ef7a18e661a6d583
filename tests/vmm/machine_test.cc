#include "vmm/machine.h"

#include <sys/socket.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/vmm/tiny_guest.h"

namespace berth::vmm {
namespace {

using testing::HasSubstr;

// mov dx, PORT; mov al, VALUE; out dx, al
std::vector<uint8_t> OutByte(uint16_t port, uint8_t value) {
  return {0x66, 0xba, static_cast<uint8_t>(port), static_cast<uint8_t>(port >> 8), 0xb0, value, 0xee};
}
const std::vector<uint8_t> kForever = {0xf4, 0xeb, 0xfd};  // hlt; jmp to it

std::vector<uint8_t> operator+(std::vector<uint8_t> a, const std::vector<uint8_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::string LastText(const TinyMachine& tiny, v1::Event::Kind kind) {
  std::string text = "no such event";
  for (const v1::Event& event : tiny.events.events()) {
    if (event.kind() == kind) text = event.text();
  }
  return text;
}

class MachineTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!KvmIsThere()) GTEST_SKIP() << "no /dev/kvm on this host";
  }
};

TEST_F(MachineTest, TheSleepRegisterPowersOff) {
  // ACPI 6.5, 4.8.3.7: SLP_TYPx in bits 2 to 4, SLP_EN in bit 5.
  auto tiny = *TinyMachine::Create(OutByte(0x600, 5 << 2 | 1 << 5) + kForever);
  ASSERT_TRUE(tiny->machine->Run());
  EXPECT_TRUE(tiny->RunUntil(v1::Event::STATE_CHANGED, v1::POWERED_OFF));
  EXPECT_FALSE(tiny->machine->Run());
}

TEST_F(MachineTest, TheResetRegisterStartsTheKernelAgain) {
  auto tiny = *TinyMachine::Create(OutByte(0x3f8, 'A') + OutByte(0xcf9, 6) + kForever);
  ASSERT_TRUE(tiny->machine->Run());
  for (int resets = 0; resets < 3; ++resets) EXPECT_TRUE(tiny->RunUntil(v1::Event::GUEST_RESET));
  EXPECT_EQ(LastText(*tiny, v1::Event::GUEST_RESET), "reset register");
}

TEST_F(MachineTest, TheKeyboardControllersResetPulseResets) {
  auto tiny = *TinyMachine::Create(OutByte(0x64, 0xfe) + kForever);
  ASSERT_TRUE(tiny->machine->Run());
  EXPECT_TRUE(tiny->RunUntil(v1::Event::GUEST_RESET));
}

TEST_F(MachineTest, ATripleFaultResets) {
  // lidt of an empty table, then an undefined instruction.
  auto tiny =
      *TinyMachine::Create({0x0f, 0x01, 0x1d, 0x0a, 0x00, 0x10, 0x00, 0x0f, 0x0b, 0x90, 0, 0, 0, 0, 0, 0});
  ASSERT_TRUE(tiny->machine->Run());
  EXPECT_TRUE(tiny->RunUntil(v1::Event::GUEST_RESET));
  // And where, unless the processor has forgotten it.
  EXPECT_THAT(LastText(*tiny, v1::Event::GUEST_RESET),
              testing::MatchesRegex("triple fault of vCPU 0( at rip 0x100007, .*)?"));
}

TEST_F(MachineTest, AResetMayEndTheMachineInstead) {
  auto tiny = *TinyMachine::Create(OutByte(0xcf9, 6) + kForever,
                                   [](v1::MachineConfig& config) { config.set_on_reset(v1::ON_RESET_QUIT); });
  ASSERT_TRUE(tiny->machine->Run());
  EXPECT_TRUE(tiny->RunUntil(v1::Event::STATE_CHANGED, v1::POWERED_OFF));
}

TEST_F(MachineTest, PvpanicIsAnEvent) {
  auto tiny = *TinyMachine::Create(OutByte(0x505, 1) + kForever);
  ASSERT_TRUE(tiny->machine->Run());
  EXPECT_TRUE(tiny->RunUntil(v1::Event::GUEST_PANICKED));
}

TEST_F(MachineTest, WhatTheSerialPortSendsReachesTheConsole) {
  auto tiny =
      *TinyMachine::Create(OutByte(0x3f8, 'h') + OutByte(0x3f8, 'i') + OutByte(0x600, 0x34) + kForever);
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const UniqueFd ours(pair[0]);
  ASSERT_TRUE(tiny->machine->AttachConsole(UniqueFd(pair[1])));
  ASSERT_TRUE(tiny->machine->Run());
  ASSERT_TRUE(tiny->RunUntil(v1::Event::STATE_CHANGED, v1::POWERED_OFF));
  char text[8] = {};
  EXPECT_EQ(::read(ours.get(), text, sizeof(text)), 2);
  EXPECT_STREQ(text, "hi");
}

TEST_F(MachineTest, PausedVcpusDoNotRun) {
  auto tiny =
      *TinyMachine::Create(OutByte(0x3f8, 'x') + std::vector<uint8_t>{0xeb, 0xf7});  // Again and again.
  const auto exits = [&tiny] { return tiny->machine->Counters().counters(0).value(); };
  ASSERT_TRUE(tiny->machine->Run());
  while (exits() < 100) ::usleep(1000);
  ASSERT_TRUE(tiny->machine->Pause());
  const uint64_t before = exits();
  ::usleep(20'000);
  EXPECT_EQ(exits(), before);
  ASSERT_TRUE(tiny->machine->Run());
  while (exits() == before) ::usleep(1000);
}

v1::DeviceConfig Assigned(const std::string& id) {
  v1::DeviceConfig device;
  device.set_id(id);
  device.mutable_vfio()->set_device_name("0000:01:00.0");
  return device;
}

TEST_F(MachineTest, WhatCannotBePluggedOrUnpluggedIsRefused) {
  auto tiny = *TinyMachine::Create(OutByte(0x600, 5 << 2 | 1 << 5) + kForever, [](v1::MachineConfig& config) {
    config.add_devices()->set_id("rng");
    config.mutable_devices(0)->mutable_rng();
    config.add_spare_ports()->set_memory_bytes(2 << 20);
  });
  Machine& machine = *tiny->machine;
  const auto plug = [&machine](const v1::DeviceConfig& device) {
    return machine.PlugDevice(device, Descriptors({})).error();
  };
  EXPECT_EQ(plug(machine.config().devices(0)).reason(), "NOT_HOTPLUGGABLE");
  EXPECT_EQ(plug(Assigned("rng")).reason(), "DEVICE_EXISTS");
  EXPECT_EQ(plug(Assigned("")).code(), Code::kInvalidArgument);
  EXPECT_EQ(plug(Assigned("nic")).reason(), "NO_VFIO_CONTAINER");
  EXPECT_EQ(machine.UnplugDevice("nic", true).error().reason(), "DEVICE_NOT_FOUND");
  EXPECT_EQ(machine.CaptureDisplay("rng", -1, 0).error().reason(), "DEVICE_NOT_FOUND")
      << "no assigned device";
  EXPECT_EQ(machine.UnplugDevice("rng", false).error().reason(), "NOT_HOTPLUGGABLE");
  EXPECT_EQ(machine.UnplugDevice("rng", true).error().reason(), "NOT_HOTPLUGGABLE");
  EXPECT_EQ(machine.config().devices_size(), 1);
  ASSERT_TRUE(machine.Run());
  ASSERT_TRUE(tiny->RunUntil(v1::Event::STATE_CHANGED, v1::POWERED_OFF));
  EXPECT_EQ(plug(Assigned("nic")).code(), Code::kFailedPrecondition);
  EXPECT_EQ(machine.UnplugDevice("rng", true).error().code(), Code::kFailedPrecondition);
}

TEST_F(MachineTest, WithoutAPortNothingIsPlugged) {
  auto tiny = *TinyMachine::Create(kForever);
  const auto plugged = tiny->machine->PlugDevice(Assigned("nic"), Descriptors({}));
  ASSERT_FALSE(plugged);
  EXPECT_EQ(plugged.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(plugged.error().reason(), "NO_FREE_PORT");
}

TEST_F(MachineTest, DevicesAndSparePortsShareTheRootBus) {
  const auto built = TinyMachine::Create(kForever, [](v1::MachineConfig& config) {
    config.add_devices()->mutable_rng();
    for (int i = 0; i < 31; ++i) config.add_spare_ports();
  });
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().reason(), "TOO_MANY_DEVICES");
  EXPECT_THAT(built.error().message(), HasSubstr("1 devices and 31 spare ports: the root bus holds 31"));
}

TEST_F(MachineTest, AFileThatIsNoKernelIsRefused) {
  const auto built =
      TinyMachine::Create({}, [](v1::MachineConfig& config) { config.mutable_boot()->set_kernel_fd(0); });
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().code(), Code::kInvalidArgument);
}

TEST_F(MachineTest, MoreVcpusThanKvmHasAreRefused) {
  const auto built = TinyMachine::Create(
      kForever, [](v1::MachineConfig& config) { config.mutable_cpus()->set_sockets(100'000); });
  ASSERT_FALSE(built);
  EXPECT_THAT(built.error().message(), HasSubstr("vCPUs"));
}

}  // namespace
}  // namespace berth::vmm

// A virtio NIC on a tap of the kernel, in a network namespace of its own, with its driver on one end and a
// packet socket on the other.
#pragma once

#include <linux/if_tun.h>
#include <poll.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "hw/virtio/net.h"
#include "tests/fakes/fake_virtio.h"
#include "tests/fakes/tap_namespace.h"

namespace berth::hw {

struct TapNic : testing::Test {
  static constexpr size_t kHeader = sizeof(NetHeader);

  // Why this machine cannot do it, if it cannot.
  static const Status& Entered() {
    static const Status entered = net::EnterNetworkNamespace();
    return entered;
  }

  void Start(std::vector<std::unique_ptr<net::VhostNet>> vhost, uint64_t ring_features) {
    auto tap = net::OpenTap(*net::CreateTap("tap0", 1, IFF_VNET_HDR));
    ASSERT_TRUE(tap) << tap.error().message();
    host = *net::OpenPacketSocket("tap0");
    device = *CreateVirtioNet({.name = "nic", .mac = {2, 0, 0, 0, 0, 1}}, std::move(*tap), std::move(vhost));
    virtio = std::make_unique<FakeVirtio>(device.get());
    ASSERT_TRUE(virtio->Activate(device->features() | (ring_features & ~device->refused_ring_features())));
  }
  void TearDown() override { virtio.reset(); }

  // A broadcast frame of an experimental type.
  static std::string Frame(size_t size, char fill) {
    std::string frame = std::string(6, '\xff') + std::string("\x02\x00\x00\x00\x00\x01\x88\xb5", 8);
    frame.resize(size, fill);
    return frame;
  }
  static bool Ours(const std::string& frame) {
    return frame.size() >= 14 && frame.substr(12, 2) == "\x88\xb5";
  }

  void Send(const NetHeader& header, const std::string& frame) {
    const std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
    virtio->driver(1).Add({virtio->driver(1).Readable(bytes), virtio->driver(1).Readable(frame)});
    virtio->Kick(1);
  }
  // What the host sees next; the kernel says things of its own on a new interface.
  std::string HostReceives() {
    std::string frame(70'000, '\0');
    ssize_t size = -1;
    const bool found = virtio->TurnUntil([&] {
      size = ::read(host.get(), frame.data(), frame.size());
      return size > 14 && frame.substr(12, 2) == "\x88\xb5";
    });
    return found ? frame.substr(0, static_cast<size_t>(size)) : "";
  }
  // Adds receive buffers of 4 KiB, and later returns the next frame of ours that arrives in them.
  void AddBuffers(int count) {
    for (int i = 0; i < count; ++i) {
      const FakeBuffer buffer = virtio->driver(0).Writable(4096);
      addresses[virtio->driver(0).Add({buffer})] = buffer.address;
    }
    virtio->Kick(0);
  }
  std::string DriverReceives() {
    std::string frame;
    const bool found = virtio->TurnUntil([&] {
      const auto first = virtio->driver(0).TakeUsed();
      if (!first) return false;
      const auto count = virtio->ram().Get<uint16_t>(addresses[first->id] + offsetof(NetHeader, num_buffers));
      frame = Text(*first);
      for (uint16_t i = 1; i < count; ++i) frame += Text(*virtio->driver(0).TakeUsed());
      frame.erase(0, kHeader);
      return Ours(frame);
    });
    return found ? frame : "";
  }
  std::string Text(const FakeDriver::Used& used) {
    return std::string(virtio->ram().Text(addresses[used.id], used.written));
  }

  UniqueFd host;
  std::unique_ptr<VirtioNet> device;
  std::unique_ptr<FakeVirtio> virtio;
  std::map<uint16_t, uint64_t> addresses;  // Of receive buffers, by chain.
};

// What must work whoever moves the packets.
inline void FramesPassBothWays(TapNic* nic) {
  nic->AddBuffers(8);
  for (int round = 0; round < 20; ++round) {
    const auto fill = static_cast<char>('a' + round);
    nic->Send({}, TapNic::Frame(60, fill));
    EXPECT_EQ(nic->HostReceives(), TapNic::Frame(60, fill));
    const std::string frame = TapNic::Frame(1000, fill);
    ASSERT_EQ(::write(nic->host.get(), frame.data(), frame.size()), static_cast<ssize_t>(frame.size()));
    EXPECT_EQ(nic->DriverReceives(), frame);
    nic->AddBuffers(1);
  }
}

// A TCP segment of 8 KiB that the host is to cut: it passes the tap in one piece.
inline void LargeSegmentsPass(TapNic* nic) {
  constexpr uint16_t kIp = 14, kTcp = 34, kEnd = 54, kSize = 8192;
  std::string frame(kSize, '\0');
  frame.replace(0, kIp, std::string("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00", kIp));
  frame[kIp] = 0x45;
  StoreBe<uint16_t>(&frame[kIp + 2], kSize - kIp);
  frame[kIp + 8] = 64;  // TTL
  frame[kIp + 9] = 6;   // TCP
  StoreBe<uint32_t>(&frame[kIp + 12], 0xc0000201);
  StoreBe<uint32_t>(&frame[kIp + 16], 0xc0000202);
  frame[kTcp + 12] = 0x50;
  nic->Send({.flags = kNetHeaderNeedsChecksum,
             .gso_type = kNetGsoTcp4,
             .hdr_len = kEnd,
             .gso_size = 1448,
             .csum_start = kTcp,
             .csum_offset = 16,
             .num_buffers = 0},
            frame);
  std::string seen(70'000, '\0');
  ssize_t size = 0;
  EXPECT_TRUE(nic->virtio->TurnUntil([&] {
    size = ::read(nic->host.get(), seen.data(), seen.size());
    return size == kSize;
  }));
}

}  // namespace berth::hw

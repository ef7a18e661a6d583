#include "hw/virtio/net.h"

#include <deque>
#include <string>

#define VIRTIO_RING_NO_LEGACY
#include <linux/vhost.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_port.h"
#include "tests/fakes/fake_vhost.h"
#include "tests/fakes/fake_virtio.h"

namespace berth::hw {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr MacAddress kMac = {0x52, 0x54, 0, 1, 2, 3};
constexpr unsigned kReceive = 0, kTransmit = 1;
constexpr uint8_t kOk = 0, kError = 1;
constexpr size_t kHeader = sizeof(NetHeader);

std::string HeaderBytes(const NetHeader& header) {
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header));
}
const std::string kPlain = HeaderBytes({});

// A frame for kMac, of this size, that counts.
std::string Frame(size_t size, char seed = 0) {
  std::string frame(kMac.begin(), kMac.end());
  while (frame.size() < size) frame.push_back(static_cast<char>(frame.size() * 7 + seed));
  frame[12] = 8;
  frame[13] = 0;
  return frame;
}

// A NIC of `pairs` queue pairs on fake ports, with its driver.
struct NetTest : testing::Test {
  void Start(uint64_t features = ~0ull, size_t pairs = 1, uint16_t queue_size = 64) {
    net::TapInterface tap{
        .queues = {},
        .offloads = {.checksum = true, .tso4 = true, .tso6 = true, .tso_ecn = true, .ufo = true}};
    for (size_t i = 0; i < pairs; ++i) {
      auto port = std::make_unique<net::FakePort>();
      port->enabled = i == 0;
      ports.push_back(port.get());
      tap.queues.push_back(std::move(port));
    }
    auto created = CreateVirtioNet({.name = "nic", .mac = kMac}, std::move(tap), std::move(vhost));
    ASSERT_TRUE(created) << created.error().message();
    device = std::move(*created);
    virtio = std::make_unique<FakeVirtio>(device.get());
    ASSERT_TRUE(virtio->Activate(features & (device->features() | ring_features), queue_size));
    virtio->Turn();
  }
  void TearDown() override { virtio.reset(); }

  FakeDriver& driver(unsigned queue) { return virtio->driver(queue); }
  // Adds a receive buffer.
  FakeBuffer Receive(uint32_t size) {
    const FakeBuffer buffer = driver(kReceive).Writable(size);
    driver(kReceive).Add({buffer});
    return buffer;
  }
  std::string Text(const FakeBuffer& buffer, size_t size) {
    return std::string(virtio->ram().Text(buffer.address, size));
  }
  uint16_t BuffersOf(const FakeBuffer& buffer) {
    return virtio->ram().Get<uint16_t>(buffer.address + offsetof(NetHeader, num_buffers));
  }
  // Sends one packet, and whether the chain came back.
  bool Send(const std::string& header, const std::string& frame) {
    driver(kTransmit).Add({driver(kTransmit).Readable(header), driver(kTransmit).Readable(frame)});
    virtio->Kick(kTransmit);
    return driver(kTransmit).TakeUsed().has_value();
  }
  uint8_t Control(unsigned queue, uint8_t command_class, uint8_t command, const std::string& data) {
    const std::string header = {static_cast<char>(command_class), static_cast<char>(command)};
    const FakeBuffer acknowledgement = driver(queue).Writable(1);
    virtio->ram().Set<uint8_t>(acknowledgement.address, 0xee);
    driver(queue).Add({driver(queue).Readable(header), driver(queue).Readable(data), acknowledgement});
    virtio->Kick(queue);
    EXPECT_TRUE(driver(queue).TakeUsed());
    return virtio->ram().Get<uint8_t>(acknowledgement.address);
  }
  uint64_t Count(const std::string& name) {
    for (const NamedCounter& named : device->counters()) {
      if (named.name == name) return named.counter->value();
    }
    ADD_FAILURE() << "no counter " << name;
    return 0;
  }
  NetConfig Config() {
    NetConfig config;
    device->ReadConfig(0, {reinterpret_cast<uint8_t*>(&config), sizeof(config)});
    return config;
  }

  std::deque<net::FakeVhost> kernels;  // Outlive the device.
  uint64_t ring_features = 0;
  std::vector<std::unique_ptr<net::VhostNet>> vhost;
  std::vector<net::FakePort*> ports;
  std::unique_ptr<VirtioNet> device;
  std::unique_ptr<FakeVirtio> virtio;
};

constexpr uint64_t kNoMerge = ~kNetMergeable;

TEST_F(NetTest, SendsAFrameWithItsHeader) {
  Start();
  EXPECT_TRUE(Send(kPlain, Frame(60)));
  EXPECT_EQ(ports[0]->Take(), kPlain + Frame(60));
  EXPECT_EQ(virtio->TakeInterrupts(kTransmit), 1u);
  EXPECT_EQ(Count("sent_packets"), 1u);
  EXPECT_EQ(Count("sent_bytes"), 60u);
}

TEST_F(NetTest, HeaderAndFrameMayBeDividedAnyhow) {
  Start();
  const std::string packet = kPlain + Frame(100);
  FakeDriver& sender = driver(kTransmit);
  sender.Add({sender.Readable(packet.substr(0, 5)), sender.Readable(packet.substr(5, 20)),
              sender.Readable(packet.substr(25))});
  virtio->Kick(kTransmit);
  EXPECT_EQ(ports[0]->Take(), packet);
}

TEST_F(NetTest, WhatMakesNoPacketIsDroppedAndGivenBack) {
  Start();
  EXPECT_TRUE(Send(kPlain, Frame(13)));
  EXPECT_TRUE(Send("short", "x"));
  NetHeader unknown{};
  unknown.gso_type = 77;
  EXPECT_TRUE(Send(HeaderBytes(unknown), Frame(60)));
  driver(kTransmit).Add({driver(kTransmit).Readable(kPlain), {0xdead'0000'0000, 100, false}});
  driver(kTransmit).Add({driver(kTransmit).Writable(100)});
  driver(kTransmit).Add(
      {driver(kTransmit).Readable(kPlain), driver(kTransmit).Readable(std::string(70'000, 'x'))});
  virtio->Kick(kTransmit);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(driver(kTransmit).TakeUsed());
  EXPECT_EQ(ports[0]->Take(), std::nullopt);
  EXPECT_EQ(Count("sent_invalid"), 6u);
  EXPECT_TRUE(Send(kPlain, Frame(60)));
  EXPECT_EQ(ports[0]->Take(), kPlain + Frame(60));
  EXPECT_THAT(virtio->transport().needs_reset, IsEmpty());
}

TEST_F(NetTest, ManyPacketsAreOneInterrupt) {
  Start();
  for (int i = 0; i < 30; ++i) {
    driver(kTransmit).Add({driver(kTransmit).Readable(kPlain + Frame(60, static_cast<char>(i)))});
  }
  virtio->Kick(kTransmit);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(ports[0]->Take(), kPlain + Frame(60, static_cast<char>(i)));
  EXPECT_EQ(virtio->TakeInterrupts(kTransmit), 1u);
}

TEST_F(NetTest, AFullPortHoldsPacketsBackInOrder) {
  Start();
  driver(kTransmit).Add({driver(kTransmit).Readable(kPlain + Frame(60, 'a'))});
  driver(kTransmit).Add({driver(kTransmit).Readable(kPlain + Frame(60, 'b'))});
  ports[0]->full = 3;
  virtio->Kick(kTransmit);
  ASSERT_TRUE(virtio->TurnUntil([&] { return Count("sent_packets") == 2; }));
  EXPECT_EQ(ports[0]->Take(), kPlain + Frame(60, 'a'));
  EXPECT_EQ(ports[0]->Take(), kPlain + Frame(60, 'b'));
  EXPECT_TRUE(driver(kTransmit).TakeUsed());
  EXPECT_TRUE(driver(kTransmit).TakeUsed());
}

TEST_F(NetTest, APacketThatThePortRefusesIsLost) {
  Start();
  ports[0]->send_error = EINVAL;
  EXPECT_TRUE(Send(kPlain, Frame(60, 'a')));
  EXPECT_TRUE(Send(kPlain, Frame(60, 'b')));
  EXPECT_EQ(ports[0]->Take(), kPlain + Frame(60, 'b'));
  EXPECT_EQ(Count("send_errors"), 1u);
}

TEST_F(NetTest, ReceivesIntoOneBuffer) {
  Start(kNoMerge);
  const FakeBuffer buffer = Receive(2000);
  virtio->Kick(kReceive);
  ports[0]->Put(kPlain + Frame(100));
  virtio->Turn();
  EXPECT_EQ(driver(kReceive).TakeUsed()->written, kHeader + 100);
  EXPECT_EQ(Text({buffer.address + kHeader, 100}, 100), Frame(100));
  EXPECT_EQ(BuffersOf(buffer), 1);  // 5.1.6.4: also without mergeable buffers.
  EXPECT_EQ(virtio->TakeInterrupts(kReceive), 1u);
}

TEST_F(NetTest, APacketTooLargeForItsBufferIsDroppedAndTheBufferKept) {
  Start(kNoMerge);
  const FakeBuffer buffer = Receive(500);
  virtio->Kick(kReceive);
  ports[0]->Put(kPlain + Frame(501));
  virtio->Turn();
  EXPECT_FALSE(driver(kReceive).TakeUsed());
  ports[0]->Put(kPlain + Frame(60));
  virtio->Turn();
  EXPECT_EQ(driver(kReceive).TakeUsed()->written, kHeader + 60);
  EXPECT_EQ(Text({buffer.address + kHeader, 60}, 60), Frame(60));
  EXPECT_EQ(Count("received_too_large"), 1u);
}

TEST_F(NetTest, ALargePacketIsDividedAmongMergeableBuffers) {
  Start();
  std::vector<FakeBuffer> buffers;
  for (int i = 0; i < 60; ++i) buffers.push_back(Receive(1500));
  virtio->Kick(kReceive);
  const std::string packet = kPlain + Frame(65'000);
  ports[0]->Put(packet);
  virtio->Turn();
  std::string received;
  for (const FakeBuffer& buffer : buffers) {
    const auto used = driver(kReceive).TakeUsed();
    if (!used) break;
    received += Text(buffer, used->written);
  }
  EXPECT_EQ(BuffersOf(buffers[0]), (packet.size() + 1499) / 1500);
  EXPECT_EQ(received.substr(kHeader), packet.substr(kHeader));
  // The next packet begins with the next buffer.
  ports[0]->Put(kPlain + Frame(60));
  virtio->Turn();
  EXPECT_EQ(driver(kReceive).TakeUsed()->written, kHeader + 60);
  EXPECT_EQ(Text({buffers[44].address + kHeader, 60}, 60), Frame(60));
}

TEST_F(NetTest, APacketWithTooFewBuffersWaitsForMoreOfThem) {
  Start();
  std::vector<FakeBuffer> buffers = {Receive(1500), Receive(1500)};
  virtio->Kick(kReceive);
  ports[0]->Put(kPlain + Frame(5000));
  ports[0]->Put(kPlain + Frame(60));
  virtio->Turn();
  EXPECT_FALSE(driver(kReceive).TakeUsed());
  for (int i = 0; i < 3; ++i) buffers.push_back(Receive(1500));
  virtio->Kick(kReceive);
  virtio->Turn();
  std::string received;
  for (int i = 0; i < 4; ++i) received += Text(buffers[i], driver(kReceive).TakeUsed()->written);
  EXPECT_EQ(received.substr(kHeader), Frame(5000));
  EXPECT_EQ(BuffersOf(buffers[0]), 4);
  EXPECT_EQ(driver(kReceive).TakeUsed()->written, kHeader + 60);
}

TEST_F(NetTest, APacketThatNoFilledRingCanHoldIsDropped) {
  Start(~0ull, 1, 4);
  for (int i = 0; i < 4; ++i) Receive(100);
  virtio->Kick(kReceive);
  ports[0]->Put(kPlain + Frame(1000));
  ports[0]->Put(kPlain + Frame(60));
  virtio->Turn();
  virtio->Turn();
  EXPECT_EQ(driver(kReceive).TakeUsed()->written, kHeader + 60);
  EXPECT_EQ(Count("received_too_large"), 1u);
}

TEST_F(NetTest, WithoutBuffersPacketsWaitInThePort) {
  Start();
  ports[0]->Put(kPlain + Frame(60));
  virtio->Turn();
  EXPECT_EQ(Count("received_packets"), 0u);
  Receive(2000);
  virtio->Kick(kReceive);
  virtio->Turn();
  EXPECT_EQ(Count("received_packets"), 1u);
}

TEST_F(NetTest, WhileBuffersLastTheDriverNeedNotKick) {
  Start();
  for (int i = 0; i < 10; ++i) Receive(70'000);
  virtio->Kick(kReceive);
  ports[0]->Put(kPlain + Frame(60));
  virtio->Turn();
  Receive(2000);
  EXPECT_FALSE(driver(kReceive).KickWanted());
}

TEST_F(NetTest, BuffersThatCannotBeUsedBreakTheDevice) {
  Start();
  driver(kReceive).Add({{0xdead'0000'0000, 2000, true}});
  virtio->Kick(kReceive);
  ports[0]->Put(kPlain + Frame(60));
  virtio->Turn();
  EXPECT_THAT(virtio->transport().needs_reset, SizeIs(1));
  virtio->Reset();
  ASSERT_TRUE(virtio->Activate(device->features()));
  Receive(4);  // Without room for a header.
  virtio->ForceKick(kReceive);
  virtio->Turn();
  EXPECT_THAT(virtio->transport().needs_reset, SizeIs(2));
}

TEST_F(NetTest, ReceivedHeadersTellOfChecksumsOnlyWhereNegotiated) {
  NetHeader header{};
  header.flags = 2;  // VIRTIO_NET_HDR_F_DATA_VALID
  Start(~(kNetGuestOffloads | kNetCtrlGuestOffloads));
  const FakeBuffer buffer = Receive(2000);
  virtio->Kick(kReceive);
  ports[0]->Put(HeaderBytes(header) + Frame(60));
  virtio->Turn();
  EXPECT_EQ(virtio->ram().Get<uint8_t>(buffer.address), 0);
  EXPECT_EQ(ports[0]->offloads, net::Offloads{});
}

TEST_F(NetTest, OffloadsFollowTheNegotiationAndTheControlQueue) {
  Start();
  EXPECT_EQ(ports[0]->offloads,
            (net::Offloads{.checksum = true, .tso4 = true, .tso6 = true, .tso_ecn = true, .ufo = true}));
  std::string offloads(8, '\0');
  StoreLe<uint64_t>(offloads.data(), kNetGuestChecksum | kNetGuestTso4);
  EXPECT_EQ(Control(2, 5, 0, offloads), kOk);
  EXPECT_EQ(ports[0]->offloads, (net::Offloads{.checksum = true, .tso4 = true}));
  StoreLe<uint64_t>(offloads.data(), 1ull << 40);
  EXPECT_EQ(Control(2, 5, 0, offloads), kError);
  virtio->Reset();
  EXPECT_EQ(ports[0]->offloads, net::Offloads{});
}

TEST_F(NetTest, TheDriverFiltersWhatItReceives) {
  Start();
  for (int i = 0; i < 8; ++i) Receive(2000);
  virtio->Kick(kReceive);
  EXPECT_EQ(Control(2, 0, 0, std::string(1, '\0')), kOk);  // Not promiscuous.
  std::string other = Frame(60);
  other[5] = 99;
  ports[0]->Put(kPlain + other);
  ports[0]->Put(kPlain + Frame(60));
  virtio->Turn();
  EXPECT_EQ(Count("received_filtered"), 1u);
  EXPECT_EQ(Count("received_packets"), 1u);

  // MAC_TABLE_SET: one unicast address, no multicast.
  std::string table(4, '\0');
  table[0] = 1;
  table += other.substr(0, 6) + std::string(4, '\0');
  EXPECT_EQ(Control(2, 1, 0, table), kOk);
  ports[0]->Put(kPlain + other);
  virtio->Turn();
  EXPECT_EQ(Count("received_packets"), 2u);
}

TEST_F(NetTest, ControlCommandsThatLieAreErrors) {
  Start();
  EXPECT_EQ(Control(2, 0, 6, std::string(1, '\0')), kError);
  EXPECT_EQ(Control(2, 0, 0, std::string(2, '\0')), kError);
  EXPECT_EQ(Control(2, 9, 0, "x"), kError);
  EXPECT_EQ(Control(2, 1, 0, std::string(4, '\xff')), kError);      // 2^32 - 1 addresses.
  EXPECT_EQ(Control(2, 1, 0, std::string(9, '\0')), kError);        // One byte too many.
  EXPECT_EQ(Control(2, 2, 0, std::string("\x00\x10", 2)), kError);  // VLAN 4096.
  EXPECT_EQ(Control(2, 4, 0, std::string("\x01\x00", 2)), kError);  // MQ was not negotiated.
  EXPECT_EQ(Control(2, 1, 1, "short"), kError);
  EXPECT_EQ(Control(2, 0, 0, std::string(100'000, 'x')), kError);
  EXPECT_THAT(virtio->transport().needs_reset, IsEmpty());
  driver(2).Add({driver(2).Readable("no acknowledgement")});
  virtio->Kick(2);
  EXPECT_THAT(virtio->transport().needs_reset, SizeIs(1));
}

TEST_F(NetTest, ATableOfTooManyAddressesLetsAllThrough) {
  Start();
  EXPECT_EQ(Control(2, 0, 0, std::string(1, '\0')), kOk);
  std::string table(4, '\0');
  StoreLe<uint32_t>(table.data(), kMaxQueueSize);
  table += std::string(6 * kMaxQueueSize, '\x02') + std::string(4, '\0');
  EXPECT_EQ(Control(2, 1, 0, table), kOk);
  Receive(2000);
  virtio->Kick(kReceive);
  std::string other = Frame(60);
  other[5] = 99;
  ports[0]->Put(kPlain + other);
  virtio->Turn();
  EXPECT_EQ(Count("received_packets"), 1u);
}

TEST_F(NetTest, TheDriverMayChangeItsAddressUntilReset) {
  Start();
  const std::string mac =
      "\x02"
      "abcde";
  EXPECT_EQ(Control(2, 1, 1, mac), kOk);
  EXPECT_EQ(Config().mac, (MacAddress{2, 'a', 'b', 'c', 'd', 'e'}));
  virtio->Reset();
  EXPECT_EQ(Config().mac, kMac);
}

TEST_F(NetTest, ServesAsManyPairsAsTheDriverWants) {
  Start(~0ull, 3);
  const unsigned control = 6;
  EXPECT_EQ(Config().max_virtqueue_pairs, 3);
  EXPECT_FALSE(ports[1]->enabled);
  driver(3).Add({driver(3).Readable(kPlain + Frame(60))});
  virtio->ForceKick(3);
  EXPECT_FALSE(driver(3).TakeUsed()) << "pair 1 is not enabled yet";

  EXPECT_EQ(Control(control, 4, 0, std::string("\x02\x00", 2)), kOk);
  EXPECT_TRUE(ports[1]->enabled);
  EXPECT_FALSE(ports[2]->enabled);
  virtio->Turn();
  EXPECT_TRUE(driver(3).TakeUsed());
  EXPECT_EQ(ports[1]->Take(), kPlain + Frame(60));

  EXPECT_EQ(Control(control, 4, 0, std::string("\x00\x00", 2)), kError);
  EXPECT_EQ(Control(control, 4, 0, std::string("\x04\x00", 2)), kError);
  ports[2]->refuse_enable = true;
  EXPECT_EQ(Control(control, 4, 0, std::string("\x03\x00", 2)), kError);
  virtio->Reset();
  EXPECT_FALSE(ports[1]->enabled);
}

// 5.1.2: without MQ the control queue is the third, whatever the device could do.
TEST_F(NetTest, ADriverWithoutMultiQueueFindsTheControlQueueThird) {
  Start(~kNetMultiQueue, 3);
  EXPECT_EQ(Control(2, 0, 0, std::string(1, '\0')), kOk);
}

TEST_F(NetTest, ALinkThatIsDownTellsTheDriverAndLosesPackets) {
  Start();
  Receive(2000);
  virtio->Kick(kReceive);
  device->SetLink(false);
  EXPECT_EQ(Config().status & kNetLinkUp, 0);
  EXPECT_EQ(virtio->transport().config_changes, 1);
  ports[0]->Put(kPlain + Frame(60));
  EXPECT_TRUE(Send(kPlain, Frame(60)));
  EXPECT_EQ(ports[0]->Take(), std::nullopt);
  EXPECT_EQ(Count("received_packets"), 0u);
  device->SetLink(true);
  virtio->Turn();
  EXPECT_EQ(Count("received_packets"), 1u);
}

TEST_F(NetTest, AnnouncesUntilAcknowledged) {
  Start();
  device->Announce();
  EXPECT_EQ(Config().status, kNetLinkUp | kNetAnnounceNeeded);
  EXPECT_EQ(virtio->transport().config_changes, 1);
  EXPECT_EQ(Control(2, 3, 0, ""), kOk);
  EXPECT_EQ(Config().status, kNetLinkUp);
}

TEST_F(NetTest, APortThatIsGoneTakesTheLinkDown) {
  Start();
  Receive(2000);
  virtio->Kick(kReceive);
  ports[0]->Close();
  ASSERT_TRUE(virtio->TurnUntil([&] { return (Config().status & kNetLinkUp) == 0; }));
  EXPECT_TRUE(Send(kPlain, Frame(60)));
}

TEST_F(NetTest, WorksWithPackedRingsAndTheEventIndex) {
  ring_features = kVirtioRingPacked | kVirtioRingEventIdx | kVirtioRingIndirectDesc;
  Start();
  std::vector<FakeBuffer> buffers;
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 4; ++i) buffers.push_back(Receive(1000));
    virtio->Kick(kReceive);
    ports[0]->Put(kPlain + Frame(3000, static_cast<char>(round)));
    virtio->Turn();
    std::string received;
    for (size_t i = buffers.size() - 4; i < buffers.size(); ++i) {
      const auto used = driver(kReceive).TakeUsed();
      ASSERT_TRUE(used);
      received += Text(buffers[i], used->written);
    }
    ASSERT_EQ(received.substr(kHeader), Frame(3000, static_cast<char>(round)));
    ASSERT_TRUE(Send(kPlain, Frame(60, static_cast<char>(round))));
    ASSERT_EQ(ports[0]->Take(), kPlain + Frame(60, static_cast<char>(round)));
  }
}

constexpr uint64_t kVhostFeatures =
    kVirtioVersion1 | kVirtioRingIndirectDesc | kVirtioRingEventIdx | kNetMergeable;

TEST_F(NetTest, VhostGetsTheRingsAndTheMemoryAsTheyAre) {
  net::FakeVhost& kernel = kernels.emplace_back();
  kernel.offered = kVhostFeatures;
  vhost.push_back(*kernel.Open());
  Start();
  EXPECT_TRUE(device->uses_vhost());
  EXPECT_TRUE(device->refused_ring_features() & kVirtioRingPacked);
  ASSERT_EQ(kernel.memory.size(), 1u);
  EXPECT_EQ(kernel.memory[0].guest_address, virtio->ram().memory().ranges()[0].guest_address);
  for (unsigned i : {kReceive, kTransmit}) {
    const QueueLayout& layout = virtio->queue(i).layout();
    EXPECT_EQ(kernel.rings[i].size, layout.size);
    EXPECT_EQ(kernel.rings[i].descriptors,
              reinterpret_cast<uintptr_t>(virtio->ram().At(layout.descriptor_area)));
    EXPECT_EQ(kernel.rings[i].available, reinterpret_cast<uintptr_t>(virtio->ram().At(layout.driver_area)));
    EXPECT_EQ(kernel.rings[i].used, reinterpret_cast<uintptr_t>(virtio->ram().At(layout.device_area)));
    EXPECT_EQ(kernel.rings[i].kick, virtio->queue(i).kick_fd());
    EXPECT_EQ(kernel.rings[i].call, virtio->queue(i).call_fd());
    EXPECT_EQ(kernel.rings[i].backend, ports[0]->fd());
  }
  // This process leaves the packets alone, but serves the control queue.
  ports[0]->Put(kPlain + Frame(60));
  Receive(2000);
  virtio->ForceKick(kReceive);
  EXPECT_EQ(Count("received_packets"), 0u);
  EXPECT_EQ(Control(2, 0, 0, std::string(1, '\0')), kOk);
  virtio->Reset();
  EXPECT_FALSE(device->uses_vhost());
  EXPECT_EQ(kernel.rings[0].backend, -1);
}

TEST_F(NetTest, WhereVhostCannotThisProcessMovesThePackets) {
  net::FakeVhost& kernel = kernels.emplace_back();
  kernel.offered = kVhostFeatures;
  kernel.refuse[VHOST_SET_MEM_TABLE] = ENOMEM;
  vhost.push_back(*kernel.Open());
  Start();
  EXPECT_FALSE(device->uses_vhost());
  EXPECT_TRUE(Send(kPlain, Frame(60)));
  EXPECT_EQ(ports[0]->Take(), kPlain + Frame(60));
}

TEST_F(NetTest, OnePairThatVhostCannotServeMeansNone) {
  net::FakeVhost& first = kernels.emplace_back();
  net::FakeVhost& second = kernels.emplace_back();
  first.offered = second.offered = kVhostFeatures;
  second.refuse[VHOST_SET_VRING_ADDR] = EFAULT;
  vhost.push_back(*first.Open());
  vhost.push_back(*second.Open());
  Start(~0ull, 2);
  EXPECT_FALSE(device->uses_vhost());
  EXPECT_EQ(first.rings[0].backend, -1);
  EXPECT_TRUE(Send(kPlain, Frame(60)));
}

TEST_F(NetTest, ARingThatVhostGivesUpBreaksTheDevice) {
  net::FakeVhost& kernel = kernels.emplace_back();
  kernel.offered = kVhostFeatures;
  vhost.push_back(*kernel.Open());
  Start();
  SignalEventFd(kernel.rings[0].error);
  virtio->Turn();
  EXPECT_THAT(virtio->transport().needs_reset, SizeIs(1));
}

TEST_F(NetTest, OptionsThatMakeNoNicAreRefused) {
  auto make = [](const VirtioNetOptions& options, size_t queues) {
    net::TapInterface tap;
    for (size_t i = 0; i < queues; ++i) tap.queues.push_back(std::make_unique<net::FakePort>());
    const auto made = CreateVirtioNet(options, std::move(tap));
    return made ? Code{} : made.error().code();
  };
  EXPECT_EQ(make({.mac = kMac}, 1), Code{});
  EXPECT_EQ(make({.mac = {1, 0, 0, 0, 0, 0}}, 1), Code::kInvalidArgument);
  EXPECT_EQ(make({}, 1), Code::kInvalidArgument);
  EXPECT_EQ(make({.mac = kMac, .mtu = 67}, 1), Code::kInvalidArgument);
  EXPECT_EQ(make({.mac = kMac, .queue_size = 100}, 1), Code::kInvalidArgument);
  EXPECT_EQ(make({.mac = kMac}, 0), Code::kInvalidArgument);
  EXPECT_EQ(make({.mac = kMac}, kMaxQueuePairs + 1), Code::kInvalidArgument);
}

}  // namespace
}  // namespace berth::hw

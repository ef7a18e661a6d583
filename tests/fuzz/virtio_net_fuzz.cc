// virtio-net under a driver that sends, receives and commands anything.
#include <cerrno>

#include "base/log.h"
#include "hw/virtio/net.h"
#include "tests/fakes/fake_port.h"
#include "tests/fuzz/virtio_fuzz_driver.h"

namespace berth::hw {
namespace {

enum Operation : uint8_t {
  kTransmit,
  kReceive,
  kControl,
  kChain,
  kPacket,
  kKick,
  kPort,
  kLink,
  kRestart,
  kCount
};

constexpr unsigned kPairs = 2;

void Run(FuzzInput input) {
  net::TapInterface tap{
      .queues = {}, .offloads = {.checksum = true, .tso4 = true, .tso6 = true, .tso_ecn = true, .ufo = true}};
  net::FakePort* ports[kPairs];
  for (net::FakePort*& port : ports) {
    auto created = std::make_unique<net::FakePort>();
    port = created.get();
    tap.queues.push_back(std::move(created));
  }
  auto device = *CreateVirtioNet({.mac = {2, 0, 0, 0, 0, 1}}, std::move(tap));
  VirtioFuzzDriver driver(device.get(), &input);
  if (!driver.Activate()) return;
  std::string packet;
  while (!input.empty()) {
    const auto operation = input.Take<uint8_t>();
    const unsigned pair = operation >> 7;
    const unsigned control = operation & 0x40 ? 2 : 2 * kPairs;
    switch (operation % 64 % kCount) {
      case kTransmit: {
        const FakeBuffer header = driver.Bytes(input.TakeBytes(sizeof(NetHeader)));
        FakeBuffer frame = driver.Buffer();
        frame.writable = false;
        driver.Add(2 * pair + 1, {header, frame});
        break;
      }
      case kReceive: {
        std::vector<FakeBuffer> buffers(1 + input.Take<uint8_t>() % 3);
        for (FakeBuffer& buffer : buffers) {
          buffer = driver.Buffer();
          buffer.writable = true;
        }
        driver.Add(2 * pair, std::move(buffers));
        break;
      }
      case kControl: {
        uint8_t command[64];
        const auto bytes = input.TakeBytes(input.Take<uint8_t>() % sizeof(command));
        std::copy(bytes.begin(), bytes.end(), command);
        if (!bytes.empty()) command[0] %= 8;
        driver.Add(control,
                   {driver.Bytes({command, bytes.size()}), {VirtioFuzzDriver::kData.start, 1, true}});
        driver.virtio.ForceKick(control);
        break;
      }
      case kChain: {
        std::vector<FakeBuffer> buffers(1 + input.Take<uint8_t>() % 6);
        for (FakeBuffer& buffer : buffers) buffer = driver.Buffer();
        driver.Add(input.Take<uint8_t>() % 5, std::move(buffers));
        break;
      }
      case kPacket: {
        const auto bytes = input.TakeBytes(64);
        packet.assign(bytes.begin(), bytes.end());
        packet.resize(1 + input.Take<uint16_t>(), 'p');
        // What a full socket does not take is no matter.
        ports[pair]->TryPut(packet);
        driver.virtio.Turn();
        break;
      }
      case kKick:
        driver.virtio.ForceKick(input.Take<uint8_t>() % (2 * kPairs + 1));
        driver.TakeUsed();
        break;
      case kPort:
        ports[pair]->full = input.Take<uint8_t>() % 4;
        ports[pair]->send_error = operation & 0x40 ? EINVAL : 0;
        ports[pair]->refuse_enable = (operation & 0x20) != 0;
        while (ports[pair]->Take()) {
        }
        break;
      case kLink:
        device->SetLink((operation & 0x40) != 0);
        device->Announce();
        break;
      case kRestart:
        if (!driver.Activate()) return;
        break;
    }
  }
}

}  // namespace
}  // namespace berth::hw

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  berth::SetLogLevel(berth::LogLevel::kError);
  berth::hw::Run({data, size});
  return 0;
}

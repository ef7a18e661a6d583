// virtio-scsi under a driver that asks for anything, of units that fail and dawdle.
#include <cerrno>

#include "base/log.h"
#include "hw/virtio/scsi.h"
#include "tests/fakes/fake_block_node.h"
#include "tests/fuzz/virtio_fuzz_driver.h"

namespace berth::hw {
namespace {

constexpr uint64_t kDiskSize = 64 * 1024;
constexpr uint32_t kResponseBytes = 108;
constexpr uint8_t kCodes[] = {0x00, 0x03, 0x08, 0x0a, 0x12, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2a,
                              0x2f, 0x35, 0x41, 0x42, 0x43, 0x46, 0x4a, 0x51, 0x5a, 0x88, 0x8a,
                              0x8f, 0x91, 0x93, 0x9e, 0xa0, 0xa3, 0xa8, 0xaa, 0xbd, 0x5e};

enum Operation : uint8_t {
  kCommand,
  kUnmap,
  kChain,
  kFunction,
  kEventBuffer,
  kKick,
  kHold,
  kRelease,
  kFail,
  kGrow,
  kConfig,
  kRestart,
  kCount
};

struct ScsiFuzz {
  explicit ScsiFuzz(FuzzInput fuzz_input) : input(fuzz_input) {}

  // A header, mostly of units and commands that there are.
  FakeBuffer Header(uint8_t code, std::span<const uint8_t> rest) {
    uint8_t header[51] = {1, 0, 0x40};
    const auto where = input.Take<uint8_t>();
    header[3] = where & 3;
    if (where & 0x80) header[1] = where;
    if (where & 0x40) header[0] = 0xc1, header[1] = 1, header[2] = header[3] = 0;
    header[8] = where & 7;
    header[19] = code;
    std::copy(rest.begin(), rest.end(), header + 20);
    return driver->Bytes(header);
  }
  FakeBuffer Response() {
    return {VirtioFuzzDriver::kData.start + input.Take<uint16_t>(), kResponseBytes, true};
  }

  void Command() {
    const auto kind = input.Take<uint8_t>();
    uint8_t rest[15] = {};
    const auto given = input.TakeBytes(sizeof(rest));
    std::copy(given.begin(), given.end(), rest);
    // Large numbers are refused early: mostly small ones.
    if (kind & 0x80) std::fill(rest + 1, rest + 4, 0);
    const uint8_t code = kind & 0x40 ? input.Take<uint8_t>() : kCodes[kind % std::size(kCodes)];
    FakeBuffer data = driver->Buffer();
    if (data.writable) return driver->Add(queue, {Header(code, rest), Response(), data});
    driver->Add(queue, {Header(code, rest), data, Response()});
  }

  void Unmap() {
    uint8_t list[8 + 3 * 16] = {};
    const auto count = static_cast<uint8_t>(input.Take<uint8_t>() % 5);
    list[3] = static_cast<uint8_t>(count * 16);
    for (size_t at = 8; at + 16 <= sizeof(list); at += 16) {
      list[at + 7] = input.Take<uint8_t>();
      list[at + 11] = input.Take<uint8_t>() & 0x1f;
    }
    const uint8_t rest[] = {0, 0, 0, 0, 0, 0, 0, sizeof(list)};
    const FakeBuffer data = driver->Bytes(list);
    driver->Add(queue, {Header(0x42, rest), data, Response()});
  }

  void Function() {
    uint8_t request[24] = {};
    const auto kind = input.Take<uint8_t>();
    request[0] = kind >> 6;
    request[4] = kind % 9;
    request[8] = 1;
    request[10] = 0x40;
    request[11] = kind >> 4 & 3;
    request[16] = input.Take<uint8_t>() & 7;
    driver->Add(0,
                {driver->Bytes(request), {VirtioFuzzDriver::kData.start + input.Take<uint16_t>(), 5, true}});
  }

  void Run() {
    const auto options = input.Take<uint8_t>();
    for (int i = 0; i < 3; ++i) nodes.push_back(std::make_shared<block::FakeBlockNode>(kDiskSize));
    device = *CreateVirtioScsi(
        {.queues = static_cast<uint16_t>(1 + (options & 1))},
        {{{.name = "a", .serial = "fuzz", .discard = (options & 2) != 0}, nodes[0]},
         {{.kind = ScsiUnitKind::kCdRom, .name = "b"}, nodes[1]},
         {{.name = "c", .read_only = (options & 4) != 0, .write_through = (options & 8) != 0}, nodes[2]}});
    VirtioFuzzDriver made(device.get(), &input);
    driver = &made;
    if (!made.Activate()) return;
    while (!input.empty() && Step()) {
    }
    made.virtio.Reset();
    for (const auto& node : nodes) {
      for (const auto& seen : node->log)
        CHECK((Range{0, node->content.size()}.Contains(seen.offset, seen.length)));
    }
  }

  bool Step() {
    const auto operation = input.Take<uint8_t>();
    queue = 2 + (operation >> 7);
    block::FakeBlockNode& node = *nodes[operation >> 5 & 1 ? 0 : 2];
    switch (operation % 32 % kCount) {
      case kCommand:
        Command();
        break;
      case kUnmap:
        Unmap();
        break;
      case kChain: {
        std::vector<FakeBuffer> buffers(1 + input.Take<uint8_t>() % 6);
        for (FakeBuffer& buffer : buffers) buffer = driver->Buffer();
        driver->Add(input.Take<uint8_t>() % 4, std::move(buffers));
        break;
      }
      case kFunction:
        Function();
        break;
      case kEventBuffer:
        driver->Add(1, {driver->Buffer()});
        break;
      case kKick:
        for (unsigned i = 0; i < device->queue_sizes().size(); ++i) driver->virtio.ForceKick(i);
        driver->TakeUsed();
        break;
      case kHold:
        node.hold = !node.hold;
        break;
      case kRelease:
        if (node.held.empty()) break;
        driver->virtio.loop().Post([&] { node.Release(input.Take<uint8_t>() % node.held.size()); });
        driver->virtio.Turn();
        break;
      case kFail:
        node.errors.push_back(EIO);
        break;
      case kGrow:
        CHECK(device->Grow(0, kDiskSize + 4096u * input.Take<uint8_t>()));
        break;
      case kConfig: {
        const uint8_t value[4] = {input.Take<uint8_t>(), 0, 0, 0};
        uint8_t read[8];
        device->WriteConfig(operation & 0x40 ? 20 : 24, value);
        device->ReadConfig(value[0], read);
        break;
      }
      case kRestart:
        return driver->Activate();
    }
    return true;
  }

  FuzzInput input;
  std::vector<std::shared_ptr<block::FakeBlockNode>> nodes;
  std::unique_ptr<VirtioScsi> device;
  VirtioFuzzDriver* driver = nullptr;
  unsigned queue = 2;
};

}  // namespace
}  // namespace berth::hw

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  berth::SetLogLevel(berth::LogLevel::kError);
  berth::hw::ScsiFuzz({data, size}).Run();
  return 0;
}

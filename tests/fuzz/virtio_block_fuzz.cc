// virtio-blk under a driver that asks for anything, of a disk that fails and dawdles.
#include <cerrno>

#include "base/log.h"
#include "hw/virtio/block.h"
#include "tests/fakes/fake_block_node.h"
#include "tests/fuzz/virtio_fuzz_driver.h"

namespace berth::hw {
namespace {

constexpr uint64_t kDiskSize = 64 * 1024;
constexpr uint32_t kTypes[] = {0, 1, 4, 8, 11, 13, 10, 14};

enum Operation : uint8_t {
  kRequest,
  kChain,
  kSegments,
  kKick,
  kHold,
  kRelease,
  kFail,
  kConfig,
  kRestart,
  kCount
};

// A header, mostly of requests there are.
FakeBuffer Header(VirtioFuzzDriver* driver, FuzzInput* input) {
  uint8_t header[16] = {};
  const auto type = input->Take<uint8_t>();
  StoreLe<uint32_t>(header, type & 0x80 ? input->Take<uint32_t>() : kTypes[type % std::size(kTypes)]);
  StoreLe<uint64_t>(header + 8, type & 0x40 ? input->Take<uint64_t>() : input->Take<uint8_t>() % 132);
  return driver->Bytes(header);
}

void Run(FuzzInput input) {
  auto node = std::make_shared<block::FakeBlockNode>(kDiskSize);
  const auto options = input.Take<uint8_t>();
  auto device = *CreateVirtioBlock({.serial = "fuzz",
                                    .queues = static_cast<uint16_t>(1 + (options & 1)),
                                    .read_only = (options & 2) != 0,
                                    .discard = (options & 4) != 0,
                                    .write_through = (options & 8) != 0},
                                   node);
  VirtioFuzzDriver driver(device.get(), &input);
  if (!driver.Activate()) return;
  while (!input.empty()) {
    const auto operation = input.Take<uint8_t>();
    const unsigned queue = operation >> 7;
    switch (operation % 64 % kCount) {
      case kRequest: {
        FakeBuffer data = driver.Buffer();
        if (data.size > 512) data.size &= ~511u;
        driver.Add(queue, {Header(&driver, &input), data, {VirtioFuzzDriver::kData.start, 1, true}});
        break;
      }
      case kChain: {
        std::vector<FakeBuffer> buffers(1 + input.Take<uint8_t>() % 6);
        for (FakeBuffer& buffer : buffers) buffer = driver.Buffer();
        driver.Add(queue, std::move(buffers));
        break;
      }
      case kSegments: {
        uint8_t header[16] = {static_cast<uint8_t>(operation & 0x40 ? 11 : 13)};
        uint8_t segment[16] = {};
        const auto count = input.Take<uint16_t>();
        StoreLe<uint64_t>(segment, input.Take<uint8_t>());
        StoreLe<uint32_t>(segment + 8, count & 0x8000 ? input.Take<uint32_t>() : count & 0xff);
        StoreLe<uint32_t>(segment + 12, count >> 8 & 3);
        const FakeBuffer first = driver.Bytes(header), second = driver.Bytes(segment);
        driver.Add(queue, {first, second, second, {VirtioFuzzDriver::kData.start, 1, true}});
        break;
      }
      case kKick:
        driver.virtio.ForceKick(queue % static_cast<unsigned>(device->queue_sizes().size()));
        driver.TakeUsed();
        break;
      case kHold:
        node->hold = !node->hold;
        break;
      case kRelease:
        if (node->held.empty()) break;
        driver.virtio.loop().Post([&] { node->Release(input.Take<uint8_t>() % node->held.size()); });
        driver.virtio.Turn();
        break;
      case kFail:
        node->errors.push_back(EIO);
        break;
      case kConfig:
        driver.UseConfig();
        break;
      case kRestart:
        if (!driver.Activate()) return;
        break;
    }
  }
  driver.virtio.Reset();
  for (const auto& seen : node->log) CHECK((Range{0, kDiskSize}.Contains(seen.offset, seen.length)));
}

}  // namespace
}  // namespace berth::hw

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  berth::SetLogLevel(berth::LogLevel::kError);
  berth::hw::Run({data, size});
  return 0;
}

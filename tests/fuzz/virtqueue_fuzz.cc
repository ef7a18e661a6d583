// Rings in both formats under a driver that writes whatever it likes, whenever it likes.
#include <deque>

#include "base/log.h"
#include "hw/virtio/device.h"
#include "hw/virtio/ring.h"
#include "tests/fakes/fake_ram.h"
#include "tests/fuzz/fuzz_input.h"

namespace berth::hw {
namespace {

constexpr uint64_t kRamStart = 0x1000, kRamSize = 0x8000;
// Rings, one behind the other with a canary between; then room for tables and buffers.
constexpr uint64_t kDescriptors = 0x1000, kDriver = 0x2000, kDevice = 0x3000, kRings = 0x3000;

enum Operation : uint8_t {
  kWriteRam,
  kWriteWord,
  kWriteDescriptor,
  kPop,
  kPush,
  kNotify,
  kKicksOn,
  kKicksOff,
  kCount
};

void CheckChain(const GuestMemory& memory, const DescriptorChain& chain, const QueueLayout& layout) {
  CHECK(chain.readable.size() + chain.writable.size() <= kMaxChainLength);
  CHECK(chain.readable_bytes() + chain.writable_bytes() <= uint64_t{1} << 32);
  CHECK(chain.descriptors <= layout.size);
  std::vector<iovec> pieces;
  for (const GuestBuffer& buffer : chain.writable) {
    const size_t before = pieces.size();
    if (!memory.AppendTo(buffer, &pieces)) CHECK(pieces.size() == before);
  }
}

void Run(FuzzInput input) {
  static FakeRam ram({{kRamStart, kRamSize}});
  std::memset(ram.At(kRamStart, kRamSize), 0, kRamSize);

  const auto options = input.Take<uint8_t>();
  const uint64_t features = (options & 1 ? kVirtioRingPacked : 0) | (options & 2 ? kVirtioRingEventIdx : 0) |
                            (options & 4 ? kVirtioRingIndirectDesc : 0);
  QueueLayout layout{.size = static_cast<uint16_t>(1u << (options >> 3 & 7)),
                     .descriptor_area = kDescriptors,
                     .driver_area = kDriver,
                     .device_area = kDevice};
  if (options & 0x80) {  // A layout as strange as can be; most are refused.
    layout = {input.Take<uint16_t>(), input.Take<uint32_t>(), input.Take<uint32_t>(), input.Take<uint32_t>()};
  }
  auto created = VirtQueue::Create(&ram.memory(), layout, features, -1, -1);
  if (!created) return;
  VirtQueue& queue = **created;

  std::deque<DescriptorChain> taken;
  while (!input.empty()) {
    switch (input.Take<uint8_t>() % kCount) {
      case kWriteRam: {
        const uint64_t at = input.Take<uint16_t>() % kRamSize;
        const auto bytes = input.TakeBytes(input.Take<uint8_t>() % 32);
        for (size_t i = 0; i < bytes.size() && at + i < kRamSize; ++i) *ram.At(kRamStart + at + i) = bytes[i];
        break;
      }
      case kWriteWord: {  // Near the start of a ring, where indices and flags are.
        const auto where = input.Take<uint8_t>();
        ram.Set<uint16_t>(kDescriptors + 0x1000 * (where % 3u) + 2 * (where / 3 % 64),
                          input.Take<uint16_t>());
        break;
      }
      case kWriteDescriptor: {
        const auto index = input.Take<uint8_t>();
        const uint64_t table = index & 0x80 ? kDescriptors + kRings : kDescriptors;
        const uint64_t at = table + 16 * (index & 0x7f);
        ram.Set<uint64_t>(at, kRamStart + input.Take<uint16_t>());
        ram.Set<uint32_t>(at + 8, input.Take<uint16_t>());
        ram.Set<uint16_t>(at + 12, input.Take<uint16_t>());
        ram.Set<uint16_t>(at + 14, input.Take<uint16_t>());
        break;
      }
      case kPop:
        if (auto chain = queue.Pop(); chain && chain->has_value()) {
          CheckChain(ram.memory(), **chain, layout);
          taken.push_back(*std::move(*chain));
          CHECK(taken.size() <= layout.size);
        }
        break;
      case kPush:
        if (taken.empty()) break;
        queue.Push(taken.front(), input.Take<uint8_t>());
        taken.pop_front();
        break;
      case kNotify:
        queue.Notify();
        break;
      case kKicksOn:
        queue.EnableKicks();
        break;
      case kKicksOff:
        queue.DisableKicks();
        break;
    }
  }
}

}  // namespace
}  // namespace berth::hw

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  berth::hw::Run({data, size});
  return 0;
}

// A hostile driver of any virtio device: chains of buffers that lie anywhere, half in RAM, nowhere, or over
// each other.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "tests/fakes/fake_virtio.h"
#include "tests/fuzz/fuzz_input.h"

namespace berth::hw {

class VirtioFuzzDriver {
 public:
  // Rings lie in the first range, where no buffer is: the driver's own books are not at stake.
  static constexpr Range kRings{0x10000, 0x40000}, kData{0x100000, 0x20000};
  static constexpr uint16_t kQueueSize = 16;

  VirtioFuzzDriver(VirtioDevice* device, FuzzInput* input)
      : virtio(device, {kRings, kData}), device_(*device), input_(*input) {}

  bool Activate() {
    // Each activation takes new rings; there is room for some.
    if (++activations_ > 8) return false;
    virtio.Reset();
    const auto choice = input_.Take<uint8_t>();
    const uint64_t ring = (choice & 1 ? kVirtioRingPacked : 0) | (choice & 2 ? kVirtioRingEventIdx : 0);
    const uint64_t features = choice & 4 ? input_.Take<uint64_t>() : ~0ull;
    in_use_.assign(device_.queue_sizes().size(), {});
    return virtio
        .Activate((features & device_.features()) | (ring & ~device_.refused_ring_features()), kQueueSize)
        .has_value();
  }

  FakeBuffer Buffer() {
    const auto kind = input_.Take<uint8_t>();
    const auto where = input_.Take<uint32_t>();
    const uint32_t size = kind & 0x10 ? input_.Take<uint32_t>() : input_.Take<uint16_t>() % 0x1200;
    const bool writable = (kind & 0x20) != 0;
    switch (kind & 7) {
      case 0:
        return {uint64_t{where} << 32, size, writable};  // Nowhere.
      case 1:
        return {kData.end() - where % 64, size, writable};  // Out of the end.
      case 2:
        return {~uint64_t{0} - where % 4096, size, writable};  // Around the end of all.
      default:
        return {kData.start + where % kData.size, size, writable};
    }
  }
  // What is written into guest memory by the driver, at a place that buffers are likely to use.
  FakeBuffer Bytes(std::span<const uint8_t> bytes) {
    const uint64_t at = kData.start + input_.Take<uint16_t>();
    std::copy(bytes.begin(), bytes.end(), virtio.ram().At(at, bytes.size() + 1));
    return {at, static_cast<uint32_t>(bytes.size()), false};
  }

  // Makes a chain available, those to read first, if there is room.
  void Add(unsigned queue, std::vector<FakeBuffer> buffers) {
    if (queue >= in_use_.size() || buffers.empty() || buffers.size() > kMaxBuffers) return;
    if (in_use_[queue].descriptors + buffers.size() > kQueueSize) return;
    std::stable_partition(buffers.begin(), buffers.end(),
                          [](const FakeBuffer& buffer) { return !buffer.writable; });
    in_use_[queue].descriptors += buffers.size();
    in_use_[queue].chains.resize(kQueueSize);
    Chain chain{.descriptors = buffers.size()};
    for (const FakeBuffer& buffer : buffers) chain.writable += buffer.writable ? buffer.size : 0;
    in_use_[queue].chains[virtio.driver(queue).Add(buffers)] = chain;
  }

  // Takes back what the device has used, and checks what it says of it.
  void TakeUsed() {
    for (unsigned queue = 0; queue < in_use_.size(); ++queue) {
      while (const auto used = virtio.driver(queue).TakeUsed()) {
        const Chain chain = in_use_[queue].chains[used->id];
        CHECK(used->written <= chain.writable);
        in_use_[queue].descriptors -= chain.descriptors;
      }
    }
  }

  // Writes a byte of the device's configuration, and reads from there on.
  void UseConfig() {
    const auto byte = input_.Take<uint8_t>();
    uint8_t read[8];
    device_.WriteConfig(byte, {&byte, 1});
    device_.ReadConfig(byte, read);
  }

  FakeVirtio virtio;

 private:
  static constexpr size_t kMaxBuffers = 8;
  struct Chain {
    size_t descriptors = 0;
    uint64_t writable = 0;
  };
  struct Queue {
    size_t descriptors = 0;
    std::vector<Chain> chains;  // By id.
  };
  VirtioDevice& device_;
  FuzzInput& input_;
  std::vector<Queue> in_use_;
  int activations_ = 0;
};

}  // namespace berth::hw

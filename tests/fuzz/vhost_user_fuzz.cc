// A vhost-user back-end under a front-end that says anything, of memory and rings that are there and that are
// not.
#include "base/log.h"
#include "hw/vhost_user/backend.h"
#include "hw/virtio/block.h"
#include "tests/fakes/fake_block_node.h"
#include "tests/fakes/fake_ram.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/hw/vhost_user/fake_front_end.h"

namespace berth::hw {
namespace {

constexpr uint64_t kRamAddress = 0x10000, kUserAddress = 0x7f00'0000'0000, kRamBytes = 64 * kKiB;
constexpr size_t kMaxMessages = 64;

enum Kind : uint8_t { kRaw, kNumber, kVring, kAddresses, kTable, kSetUp, kMemory, kKick, kCount };

struct VhostUserFuzz {
  explicit VhostUserFuzz(FuzzInput fuzz_input) : input(fuzz_input) {}

  void Turn() {
    loop->Post([this] { loop->Stop(); });
    loop->Run();
    while (front_end.TakeReply()) {
    }
  }
  std::vector<int> Fds() {
    std::vector<int> fds;
    for (unsigned i = input.Take<uint8_t>() % 4; i > 0; --i) fds.push_back(i % 2 ? memory : kick.get());
    return fds;
  }
  VhostUserRequest Request() { return static_cast<VhostUserRequest>(input.Take<uint8_t>() % 44); }

  // Mostly where the ring is.
  uint64_t UserAddress() { return kUserAddress + input.Take<uint16_t>() * 16u; }

  void SendOne() {
    switch (input.Take<uint8_t>() % kCount) {
      case kRaw: {
        const auto bytes = input.TakeBytes(input.Take<uint8_t>());
        return front_end.Send(Request(), {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, Fds(),
                              kVhostUserVersion | (input.Take<uint8_t>() & 8));
      }
      case kNumber:
        return front_end.Send(Request(), FakeFrontEnd::Bytes(uint64_t{input.Take<uint16_t>()}), Fds());
      case kVring:
        return front_end.Send(Request(), FakeFrontEnd::Bytes(VhostUserVringState{input.Take<uint8_t>() % 3u,
                                                                                 input.Take<uint16_t>()}));
      case kAddresses:
        return front_end.Send(VhostUserRequest::kSetVringAddr,
                              FakeFrontEnd::Bytes(VhostUserVringAddr{.index = input.Take<uint8_t>() % 3u,
                                                                     .descriptor = UserAddress(),
                                                                     .used = UserAddress(),
                                                                     .available = UserAddress()}));
      case kTable:
        return SendTable();
      case kSetUp:
        return SetUpRing();
      case kMemory: {
        const auto bytes = input.TakeBytes(input.Take<uint8_t>());
        std::memcpy(ram.At(kRamAddress + input.Take<uint16_t>() % (kRamBytes - 256), 256), bytes.data(),
                    bytes.size());
        return;
      }
      default:
        SignalEventFd(kick.get());
    }
  }
  void SendTable() {
    const VhostUserMemoryRegion region{.guest_address = kRamAddress,
                                       .size = kRamBytes,
                                       .user_address = kUserAddress,
                                       .mmap_offset = input.Take<uint8_t>() == 0 ? 4096u : 0u};
    front_end.Send(VhostUserRequest::kSetMemTable,
                   FakeFrontEnd::Bytes(uint64_t{1}) + FakeFrontEnd::Bytes(region), {memory});
  }
  void SetUpRing() {
    front_end.Send(VhostUserRequest::kSetFeatures,
                   FakeFrontEnd::Bytes(device->features() | kVirtioVersion1 | kVirtioRingIndirectDesc));
    front_end.Send(VhostUserRequest::kSetVringNum, FakeFrontEnd::Bytes(VhostUserVringState{0, 16}));
    front_end.Send(VhostUserRequest::kSetVringAddr,
                   FakeFrontEnd::Bytes(VhostUserVringAddr{.index = 0,
                                                          .descriptor = kUserAddress,
                                                          .used = kUserAddress + 4096,
                                                          .available = kUserAddress + 8192}));
    front_end.Send(VhostUserRequest::kSetVringKick, FakeFrontEnd::Bytes(uint64_t{0}), {kick.get()});
  }

  void Run() {
    for (size_t i = 0; i < kMaxMessages && !input.empty() && !ended; ++i) {
      SendOne();
      Turn();
    }
  }

  FuzzInput input;
  std::unique_ptr<EventLoop> loop = *EventLoop::Create();
  FakeRam ram{{{kRamAddress, kRamBytes}}};
  const int memory = ram.block(0).mapping().fd;
  UniqueFd kick = *CreateEventFd();
  std::shared_ptr<block::FakeBlockNode> node = std::make_shared<block::FakeBlockNode>(64 * kKiB);
  std::unique_ptr<VirtioBlock> device = *CreateVirtioBlock({.queues = 2}, node);
  FakeFrontEnd front_end;
  bool ended = false;
  std::unique_ptr<VhostUserBackend> backend = *VhostUserBackend::Create(
      loop.get(), front_end.TakeBackEndSocket(), device.get(), [this](const Status&) { ended = true; });
};

}  // namespace
}  // namespace berth::hw

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  berth::SetLogLevel(berth::LogLevel::kError);
  berth::hw::VhostUserFuzz(berth::FuzzInput(data, size)).Run();
  return 0;
}

// A whole virtio function under a hostile guest: configuration space, BAR, RAM and doorbells, with the device
// working.
#include <array>
#include <functional>

#include "base/log.h"
#include "hw/pci/pci_registers.h"
#include "hw/virtio/balloon.h"
#include "hw/virtio/console.h"
#include "hw/virtio/pci_transport.h"
#include "hw/virtio/rng.h"
#include "tests/fakes/fake_pci_slot.h"
#include "tests/fakes/fake_ram.h"
#include "tests/fuzz/fuzz_input.h"

namespace berth::hw {
namespace {

constexpr uint64_t kRamStart = 0x1000, kRamSize = 0x10000, kBarAddress = 0x1'0000'0000;
constexpr unsigned kStatus = 20, kQueueSelect = 22;

enum Operation : uint8_t {
  kReadConfig,
  kWriteConfig,
  kReadBar,
  kWriteBar,
  kWriteCommon,
  kWriteRam,
  kBringUp,
  kTurn,
  kReset,
  kOffer,
  kHost,
  kCount
};

// A device of one of three types. `host` gets a function that does what the host may do with it at any time.
std::unique_ptr<VirtioDevice> MakeDevice(uint8_t which, std::function<void(uint8_t)>* host) {
  if (which % 3 == 0) return CreateVirtioRng();
  if (which % 3 == 1) {
    auto console = *VirtioConsole::Create({.console = [](std::span<const uint8_t>) {}, .agent = {}});
    *host = [raw = console.get()](uint8_t byte) { raw->Input({&byte, 1}); };
    return console;
  }
  auto balloon = *VirtioBalloon::Create({.free_page_reporting = true});
  *host = [raw = balloon.get()](uint8_t what) {
    raw->RequestStatistics();
    raw->SetPinned(what & 1);
    if (const Status set = raw->SetTarget(what * kMiB); !set) CHECK(what != 0 && (what & 1));
  };
  return balloon;
}

class Guest {
 public:
  Guest(uint8_t which, FakeRam* ram, EventLoop* loop) : ram_(*ram), loop_(*loop) {
    function_ = *CreateVirtioPciFunction("fuzz", MakeDevice(which, &host_), &ram_.memory(), loop,
                                         &slot_.fake_interrupts());
    CHECK(function_->Attach(&slot_));
    function_->WriteConfig(0x14, 4, kBarAddress >> 32);
    function_->WriteConfig(pci::kCommand, 2, pci::kCommandMemory);
  }

  void Do(FuzzInput* input) {
    const auto operation = input->Take<uint8_t>() % kCount;
    const unsigned size = 1u << (input->Take<uint8_t>() % 4);
    switch (operation) {
      case kReadConfig:
        function_->ReadConfig(ConfigOffset(input, size), std::min(size, 4u));
        break;
      case kWriteConfig:
        function_->WriteConfig(ConfigOffset(input, size), std::min(size, 4u), input->Take<uint32_t>());
        break;
      case kReadBar:
        reader_.Read(kBarAddress + input->Take<uint16_t>(), size);
        break;
      case kWriteBar:
        reader_.Write(kBarAddress + input->Take<uint16_t>(), size, input->Take<uint64_t>());
        break;
      case kWriteCommon:
        reader_.Write(kBarAddress + input->Take<uint8_t>() % 64, size, input->Take<uint32_t>());
        break;
      case kWriteRam: {
        const uint64_t at = input->Take<uint16_t>() % kRamSize;
        const auto bytes = input->TakeBytes(input->Take<uint8_t>() % 64);
        for (size_t i = 0; i < bytes.size() && at + i < kRamSize; ++i)
          *ram_.At(kRamStart + at + i) = bytes[i];
        break;
      }
      case kBringUp:
        BringUp(input->Take<uint8_t>());
        break;
      case kTurn:
        Ring();
        loop_.Post([this] { loop_.Stop(); });
        loop_.Run();
        break;
      case kOffer:
        Offer(input);
        break;
      case kHost:
        host_(input->Take<uint8_t>());
        break;
      case kReset:
        function_->Reset();
        function_->WriteConfig(0x14, 4, kBarAddress >> 32);
        function_->WriteConfig(pci::kCommand, 2, pci::kCommandMemory);
        break;
    }
  }

 private:
  static uint16_t ConfigOffset(FuzzInput* input, unsigned size) {
    // Mostly where there is something.
    const auto offset = input->Take<uint16_t>();
    return static_cast<uint16_t>(
        AlignDown(offset & 0x8000 ? offset % 4096 : offset % 256, std::min(size, 4u)));
  }
  void WriteCommon(unsigned offset, unsigned size, uint64_t value) {
    reader_.Write(kBarAddress + offset, size, value);
  }

  // As a driver would, with every queue of 8 entries in 4 KiB of its own.
  void BringUp(uint8_t features) {
    WriteCommon(kStatus, 1, 0);
    WriteCommon(8, 4, 0);
    WriteCommon(12, 4,
                (features & 1 ? kVirtioRingEventIdx : 0) | (features & 2 ? kVirtioRingIndirectDesc : 0) |
                    (features & 4 ? 0x22 : 0));
    WriteCommon(8, 4, 1);
    WriteCommon(12, 4, (kVirtioVersion1 | (features & 8 ? kVirtioRingPacked : 0)) >> 32);
    WriteCommon(kStatus, 1, 0xb);
    for (unsigned queue = 0; queue < kQueues; ++queue) {
      const uint64_t base = kRamStart + 0x1000 * queue;
      WriteCommon(kQueueSelect, 2, queue);
      WriteCommon(24, 2, kEntries);
      WriteCommon(26, 2, queue);
      WriteCommon(32, 8, base);
      WriteCommon(40, 8, base + 0x100);
      WriteCommon(48, 8, base + 0x200);
      WriteCommon(28, 2, 1);
    }
    WriteCommon(kStatus, 1, 0xf);
    packed_ = features & 8;
    offered_ = {};
  }

  // Makes one buffer available, well-formed but for where it is and how long.
  void Offer(FuzzInput* input) {
    const auto what = input->Take<uint8_t>();
    const unsigned queue = what % kQueues;
    const uint64_t base = kRamStart + 0x1000 * queue;
    const uint16_t number = offered_[queue]++, index = number % kEntries;
    const uint16_t writable = what & 0x80 ? 2 : 0;
    ram_.Set<uint64_t>(base + 16 * index, kRamStart + input->Take<uint16_t>());
    ram_.Set<uint32_t>(base + 16 * index + 8, input->Take<uint16_t>() >> (what >> 4 & 7));
    if (packed_) {
      ram_.Set<uint16_t>(base + 16 * index + 14, writable | (number / kEntries % 2 ? 1 << 15 : 1 << 7));
    } else {
      ram_.Set<uint16_t>(base + 16 * index + 12, writable);
      ram_.Set<uint16_t>(base + 0x100 + 4 + 2 * index, index);
      ram_.Set<uint16_t>(base + 0x100 + 2, offered_[queue]);
    }
  }
  void Ring() {
    for (unsigned queue = 0; queue < kQueues; ++queue)
      reader_.Write(kBarAddress + 0x3000 + 4 * queue, 2, queue);
  }

  static constexpr unsigned kQueues = 5, kEntries = 8;

  FakeRam& ram_;
  EventLoop& loop_;
  FakePciSlot slot_;
  ViewReader reader_{slot_.memory_space()};
  std::unique_ptr<PciFunction> function_;
  std::function<void(uint8_t)> host_ = [](uint8_t) {};
  bool packed_ = false;
  std::array<uint16_t, kQueues> offered_{};  // Since the queues were set up.
};

}  // namespace
}  // namespace berth::hw

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  using namespace berth::hw;
  SetLogLevel(LogLevel::kError);
  static FakeRam ram({{kRamStart, kRamSize}});
  static const std::unique_ptr<EventLoop> loop = *EventLoop::Create();
  std::memset(ram.At(kRamStart, kRamSize), 0, kRamSize);
  FuzzInput input(data, size);
  Guest guest(input.Take<uint8_t>(), &ram, loop.get());
  while (!input.empty()) guest.Do(&input);
  return 0;
}

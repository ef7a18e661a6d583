// virtio-console with a port for an agent, under a driver that asks for anything.
#include "base/log.h"
#include "hw/virtio/console.h"
#include "tests/fuzz/virtio_fuzz_driver.h"

namespace berth::hw {
namespace {

enum Operation : uint8_t { kControl, kChain, kKick, kInput, kAgentInput, kConfig, kRestart, kHold, kCount };

void Run(FuzzInput input) {
  const auto options = input.Take<uint8_t>();
  uint64_t said = 0;
  const VirtioConsole::Output count = [&said](std::span<const uint8_t> bytes) { said += bytes.size(); };
  auto device = *VirtioConsole::Create(
      {.console = options & 1 ? count : nullptr, .agent = options & 2 ? count : nullptr});
  const auto queues = static_cast<unsigned>(device->queue_sizes().size());
  VirtioFuzzDriver driver(device.get(), &input);
  if (!driver.Activate()) return;
  while (!input.empty()) {
    const auto operation = input.Take<uint8_t>();
    const unsigned queue = (operation >> 5) % queues;
    switch (operation % 32 % kCount) {
      case kControl: {
        uint8_t message[8] = {};
        const auto what = input.Take<uint8_t>();
        message[0] = what & 3;
        message[4] = what >> 2 & 7;
        message[6] = what >> 5 & 1;
        if (what & 0x40) message[1] = what;
        if (what & 0x80) message[5] = what;
        driver.Add(3, {driver.Bytes(message)});
        break;
      }
      case kChain: {
        std::vector<FakeBuffer> buffers(1 + input.Take<uint8_t>() % 6);
        for (FakeBuffer& buffer : buffers) buffer = driver.Buffer();
        driver.Add(queue, std::move(buffers));
        break;
      }
      case kKick:
        driver.virtio.ForceKick(queue);
        driver.TakeUsed();
        break;
      case kInput:
      case kAgentInput: {
        const std::vector<uint8_t> bytes(input.Take<uint16_t>());
        const size_t taken =
            operation % 32 % kCount == kInput ? device->Input(bytes) : device->AgentInput(bytes);
        CHECK(taken <= VirtioConsole::kMaxInputBytes);
        driver.virtio.Turn();
        break;
      }
      case kConfig:
        driver.UseConfig();
        break;
      case kHold:
        device->HoldAgentOutput((operation & 32) != 0);
        break;
      case kRestart:
        if (!driver.Activate()) return;
        break;
    }
  }
  driver.virtio.Reset();
  CHECK(!device->agent_open());
}

}  // namespace
}  // namespace berth::hw

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  berth::SetLogLevel(berth::LogLevel::kError);
  berth::hw::Run({data, size});
  return 0;
}

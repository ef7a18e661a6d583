#include "hw/virtio/console_control.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "base/bytes.h"
#include "hw/virtio/chain.h"

namespace berth::hw {
namespace {

// struct virtio_console_control: id, event, value; a name follows it.
constexpr size_t kMessageSize = 8;
// Its events, in the order in which a driver is told of those that are due.
enum Event : uint16_t {
  kDeviceReady = 0,
  kPortAdd = 1,
  kPortReady = 3,
  kConsolePort = 4,
  kPortOpen = 6,
  kPortName = 7,
};
// A name comes before the port is open: who looks for it by name finds it then.
constexpr uint16_t kOrder[] = {kPortAdd, kConsolePort, kPortName, kPortOpen};

constexpr uint32_t Due(uint16_t event) { return uint32_t{1} << event; }

}  // namespace

Status ConsoleControl::Start(const VirtioActivation& activation, unsigned receive, unsigned transmit) {
  memory_ = activation.memory;
  transmit_queue_ = activation.queues[transmit];
  transmit_ =
      TRY(QueueService::Start(activation, transmit, [this](const DescriptorChain& chain) { Take(chain); }));
  receive_ = TRY(QueueFiller::Start(
      activation, receive, [this] { return AnyDue(); },
      [this](const DescriptorChain& chain) { return Write(chain); }));
  return Ok();
}

void ConsoleControl::Stop() {
  transmit_.reset();
  receive_.reset();
  due_.fill(0);
  for (auto& open : open_) open = false;
}

// What makes no sense is left out.
void ConsoleControl::Take(const DescriptorChain& chain) {
  uint8_t message[kMessageSize];
  const bool whole = ReadChain(*memory_, chain.readable, 0, message);
  transmit_queue_->Push(chain, 0);
  if (!whole) return;
  const auto id = LoadLe<uint32_t>(message);
  const auto event = LoadLe<uint16_t>(message + 4), value = LoadLe<uint16_t>(message + 6);
  if (event == kDeviceReady && value == 1) {
    for (unsigned port = 0; port < kPorts; ++port) {
      if (ports_[port].offered) due_[port] |= Due(kPortAdd);
    }
  } else if (id < kPorts && ports_[id].offered) {
    const Port& port = ports_[id];
    if (event == kPortReady && value == 1) {
      // The other end is always there.
      due_[id] |=
          Due(kPortOpen) | (port.console ? Due(kConsolePort) : 0) | (port.name.empty() ? 0 : Due(kPortName));
    } else if (event == kPortOpen) {
      open_[id] = value == 1;
    }
  }
  if (receive_) receive_->Run();
}

bool ConsoleControl::AnyDue() const {
  return std::any_of(due_.begin(), due_.end(), [](uint32_t due) { return due != 0; });
}

// What does not fit stays due.
uint32_t ConsoleControl::Write(const DescriptorChain& chain) {
  const auto port = static_cast<unsigned>(
      std::find_if(due_.begin(), due_.end(), [](uint32_t due) { return due != 0; }) - due_.begin());
  const uint16_t event = *std::find_if(std::begin(kOrder), std::end(kOrder), [&](uint16_t candidate) {
    return (due_[port] & Due(candidate)) != 0;
  });
  std::vector<uint8_t> message(kMessageSize);
  StoreLe<uint32_t>(message.data(), port);
  StoreLe<uint16_t>(message.data() + 4, event);
  StoreLe<uint16_t>(message.data() + 6, 1);
  if (event == kPortName) message.insert(message.end(), ports_[port].name.begin(), ports_[port].name.end());
  if (!WriteChain(*memory_, chain.writable, 0, message)) return 0;
  due_[port] &= ~Due(event);
  return static_cast<uint32_t>(message.size());
}

}  // namespace berth::hw

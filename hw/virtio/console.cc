#include "hw/virtio/console.h"

#include <array>

#include "hw/virtio/console_control.h"

namespace berth::hw {
namespace {

constexpr uint64_t kMultiport = 1 << 1, kEmergencyWrite = 1 << 2;
constexpr unsigned kAgentPort = 1;
// Queues: those of port 0, of the control messages, of port 1; receiving and transmitting each.
constexpr unsigned kConsoleQueues = 0, kControlQueues = 2, kAgentQueues = 4;
constexpr std::array<uint16_t, 6> kQueueSizes = {64, 64, 64, 64, 64, 64};
constexpr size_t kConsoleOnly = 2;  // So many of them.
// struct virtio_console_config: size of the screen, number of ports, emergency write.
constexpr uint32_t kConfigSize = 12, kPortsOffset = 4, kEmergencyOffset = 8;

class Console final : public VirtioConsole {
 public:
  // `agent` may be null.
  Console(bool has_console, std::unique_ptr<ConsolePort> console, std::unique_ptr<ConsolePort> agent)
      : has_console_(has_console),
        console_(std::move(console)),
        agent_(std::move(agent)),
        control_(
            {ConsoleControl::Port{.offered = has_console, .console = true, .name = {}},
             ConsoleControl::Port{.offered = agent_ != nullptr, .console = false, .name = kAgentPortName}}) {}

  VirtioType type() const override { return VirtioType::kConsole; }
  uint64_t features() const override {
    return (has_console_ ? kEmergencyWrite : 0) | (agent_ ? kMultiport : 0);
  }
  std::span<const uint16_t> queue_sizes() const override {
    return std::span(kQueueSizes).first(agent_ ? kQueueSizes.size() : kConsoleOnly);
  }

  void ReadConfig(uint32_t offset, std::span<uint8_t> bytes) override {
    std::array<uint8_t, kConfigSize> config{};
    config[kPortsOffset] = agent_ ? 2 : 1;
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = offset + i < kConfigSize ? config[offset + i] : 0;
  }
  void WriteConfig(uint32_t offset, std::span<const uint8_t> bytes) override {
    if (offset == kEmergencyOffset && !bytes.empty()) console_->Write(bytes.first(1));
  }

  Status Activate(const VirtioActivation& activation) override {
    TRY(console_->Start(activation, kConsoleQueues, kConsoleQueues + 1));
    if (!agent_ || (activation.features & kMultiport) == 0) return Ok();
    TRY(agent_->Start(activation, kAgentQueues, kAgentQueues + 1));
    return control_.Start(activation, kControlQueues, kControlQueues + 1);
  }
  void Reset() override {
    console_->Stop();
    if (agent_) agent_->Stop();
    control_.Stop();
  }

  std::vector<NamedCounter> counters() const override {
    std::vector<NamedCounter> counters = {{"printed_bytes", &console_->written_bytes()},
                                          {"typed_bytes", &console_->read_bytes()}};
    if (agent_) {
      counters.push_back({"agent_written_bytes", &agent_->written_bytes()});
      counters.push_back({"agent_read_bytes", &agent_->read_bytes()});
    }
    return counters;
  }

  size_t Input(std::span<const uint8_t> bytes) override { return console_->Input(bytes); }
  size_t AgentInput(std::span<const uint8_t> bytes) override { return agent_ ? agent_->Input(bytes) : 0; }
  bool agent_open() const override { return control_.open(kAgentPort); }
  void HoldAgentOutput(bool hold) override {
    if (agent_) agent_->HoldOutput(hold);
  }

 private:
  const bool has_console_;
  const std::unique_ptr<ConsolePort> console_, agent_;
  ConsoleControl control_;
};

}  // namespace

Result<std::unique_ptr<VirtioConsole>> VirtioConsole::Create(Ports ports) {
  const bool has_console = ports.console != nullptr;
  auto console = TRY(ConsolePort::Create(std::move(ports.console)));
  std::unique_ptr<ConsolePort> agent;
  if (ports.agent) agent = TRY(ConsolePort::Create(std::move(ports.agent)));
  return std::make_unique<Console>(has_console, std::move(console), std::move(agent));
}

}  // namespace berth::hw

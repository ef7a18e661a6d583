#include "hw/pci/root_port.h"

#include <algorithm>
#include <array>

#include "hw/pci/config_space.h"
#include "hw/pci/port_interrupt.h"

namespace berth::hw {
namespace {

// QEMU's generic root port, which every guest has a driver for and nothing depends on.
constexpr PciIdentity kIdentity = {.vendor_id = 0x1b36, .device_id = 0x000c, .class_code = 0x060400};

// A window of the bridge: an alias in the parent's address space of the same addresses behind it.
class Window {
 public:
  Window(const char* name, Region* behind) : name_(name), behind_(behind) {}

  // Shows `range`, or nothing if its size is 0. In a transaction of the caller's.
  void Show(Region& parent, const Range& range) {
    if (range == shown_) return;
    if (alias_ != nullptr) parent.Remove(alias_.get());
    alias_.reset();
    shown_ = range;
    if (range.size == 0) return;
    alias_.reset(new Region(Region::Alias(name_, behind_, range.start, range.size)));
    parent.Add(alias_.get(), range.start);
  }

 private:
  const char* const name_;
  Region* const behind_;
  Range shown_;
  std::unique_ptr<Region> alias_;
};

// Link capabilities and status: one lane at 2.5 GT/s.
constexpr uint16_t kLink1Lane2500 = 1 << 4 | 1;

// 7.5.3: capabilities version 2, a root port with a slot.
uint16_t AddExpressCapability(ConfigSpace* config, uint8_t port_number) {
  std::array<uint8_t, 58> body{};
  const auto set16 = [&body](unsigned at, uint16_t value) { StoreLe<uint16_t>(&body[at - 2], value); };
  const auto set32 = [&body](unsigned at, uint32_t value) { StoreLe<uint32_t>(&body[at - 2], value); };
  set16(0x02, 2 | pci::kExpressRootPort << 4 | 1 << 8);
  set32(0x04, 0x8000);  // Device capabilities: role-based error reporting.
  set32(0x0c, kLink1Lane2500 | uint32_t{port_number} << 24);
  set16(0x12, kLink1Lane2500);
  set32(0x2c, 2);  // Link capabilities 2: 2.5 GT/s.
  HotPlugSlot::Describe(body, port_number);
  const uint16_t at = config->AddCapability(pci::kCapExpress, body);
  config->SetWritable<uint16_t>(at + 0x08, 0x70ef);  // Device control.
  config->SetWritable<uint16_t>(at + 0x10, 0x0fc3);  // Link control.
  config->SetWritable<uint16_t>(at + 0x1c, 0x001f);  // Root control.
  return at;
}

class Port final : public RootPort {
 public:
  Port(const RootPortOptions& options, const PciBus& parent)
      : options_(options),
        config_(kIdentity, 1),
        slot_registers_(&config_, AddExpressCapability(&config_, options.port_number)),
        interrupt_(&config_),
        memory_behind_(Region::Container(options.name + " memory", ~uint64_t{0})),
        io_behind_(Region::Container(options.name + " ports", 0x10000)),
        bus_({parent.resources().memory_space, &memory_behind_, parent.resources().io_space, &io_behind_,
              parent.resources().interrupts},
             &parent, options.devfn) {
    using namespace pci;
    config_.SetWritable<uint32_t>(kPrimaryBus, 0x00ffffff);
    config_.SetWritable<uint16_t>(kIoBase, 0xf0f0);
    config_.SetWritable<uint32_t>(kMemoryBase, 0xfff0fff0);
    config_.SetWritable<uint32_t>(kPrefetchableBase, 0xfff0fff0);
    config_.SetWritable<uint32_t>(kPrefetchableBaseUpper, 0xffffffff);
    config_.SetWritable<uint32_t>(kPrefetchableLimitUpper, 0xffffffff);
    config_.SetWritable<uint32_t>(kIoBaseUpper, 0xffffffff);
    config_.SetWritable<uint16_t>(kBridgeControl, 0x0073);
    config_.SetWritable<uint8_t>(kInterruptLine, 0xff);
    SetClosed();
  }

  const std::string& name() const override { return options_.name; }
  uint32_t ReadConfig(uint16_t offset, unsigned size) override { return config_.Read(offset, size); }

  void WriteConfig(uint16_t offset, unsigned size, uint32_t value) override {
    const uint16_t slot_control = slot_registers_.control();
    const Removal removal = slot_registers_.removal();
    config_.Write(offset, size, value);
    // What loses its power does nothing more, and comes back as after power-on.
    if (slot_registers_.Holds(offset, size) && slot_registers_.Written(slot_control)) ResetSecondary();
    if (options_.on_removal && slot_registers_.removal() != removal) options_.on_removal();
    const bool windows = offset >= pci::kIoBase && offset < pci::kIoLimitUpper + 2;
    if (windows || offset == pci::kCommand) ShowWindows();
    if (offset <= pci::kBridgeControl && offset + size > pci::kBridgeControl) SecondaryReset();
    interrupt_.Written(offset, size, value);
    interrupt_.Set(slot_registers_.interrupting());
  }

  void Reset() override {
    using namespace pci;
    config_.Set<uint16_t>(kCommand, 0);
    config_.Set<uint32_t>(kPrimaryBus, 0);
    slot_registers_.Reset();
    interrupt_.Reset();
    SetClosed();
    ShowWindows();
  }

  std::span<const BarRequest> bars() const override { return {}; }
  Status Attach(PciSlot* slot) override {
    slot_ = slot;
    return interrupt_.Attach(slot);
  }

  PciBus& secondary() override { return bus_; }
  uint8_t secondary_number() const override { return config_.Get<uint8_t>(pci::kSecondaryBus); }
  uint8_t subordinate_number() const override { return config_.Get<uint8_t>(pci::kSubordinateBus); }
  bool link_up() const override { return slot_registers_.powered(); }
  const WindowSizes& reserved() const override { return options_.reserved; }

  void Insert(PciBus::Card card) override {
    bus_.Insert(std::move(card));
    slot_registers_.Insert();
    interrupt_.Set(slot_registers_.interrupting());
  }
  PciBus::Card Remove() override {
    PciBus::Card card = bus_.Remove(0);
    slot_registers_.Remove();
    interrupt_.Set(slot_registers_.interrupting());
    return card;
  }
  void RequestRemoval() override {
    slot_registers_.RequestRemoval();
    interrupt_.Set(slot_registers_.interrupting());
  }
  Removal removal() const override { return slot_registers_.removal(); }

 private:
  // Base above limit: the windows show nothing. The low bits say that they are 32-bit I/O and 64-bit
  // prefetchable.
  void SetClosed() {
    using namespace pci;
    config_.Set<uint16_t>(kIoBase, 0x01f1);
    config_.Set<uint32_t>(kMemoryBase, 0x0000fff0);
    config_.Set<uint32_t>(kPrefetchableBase, 0x0001fff1);
    config_.Set<uint32_t>(kPrefetchableBaseUpper, 0);
    config_.Set<uint32_t>(kPrefetchableLimitUpper, 0);
    config_.Set<uint32_t>(kIoBaseUpper, 0);
  }

  static Range Window32(uint64_t base, uint64_t limit) {
    return base > limit ? Range{} : Range{base, limit - base + 1};
  }

  void ShowWindows() {
    using namespace pci;
    Range memory, prefetchable, io;
    if (config_.command() & kCommandMemory) {
      memory = Window32(uint64_t{config_.Get<uint16_t>(kMemoryBase) & 0xfff0u} << 16,
                        uint64_t{config_.Get<uint16_t>(kMemoryLimit) & 0xfff0u} << 16 | 0xfffff);
      const uint64_t base = uint64_t{config_.Get<uint32_t>(kPrefetchableBaseUpper)} << 32 |
                            uint64_t{config_.Get<uint16_t>(kPrefetchableBase) & 0xfff0u} << 16;
      const uint64_t limit = uint64_t{config_.Get<uint32_t>(kPrefetchableLimitUpper)} << 32 |
                             uint64_t{config_.Get<uint16_t>(kPrefetchableLimit) & 0xfff0u} << 16 | 0xfffff;
      prefetchable = Window32(base, limit);
    }
    if (config_.command() & kCommandIo) {
      io = Window32(uint64_t{config_.Get<uint8_t>(kIoBase) & 0xf0u} << 8,
                    uint64_t{config_.Get<uint8_t>(kIoLimit) & 0xf0u} << 8 | 0xfff);
    }
    AddressSpace::Transaction memory_change(slot_->memory_space());
    memory_window_.Show(slot_->memory(), memory);
    prefetchable_window_.Show(slot_->memory(), prefetchable);
    AddressSpace::Transaction io_change(slot_->io_space());
    io_window_.Show(slot_->io(), io);
  }

  // Bridge control bit 6: the devices behind are reset when it rises.
  void SecondaryReset() {
    const bool asserted = config_.Get<uint16_t>(pci::kBridgeControl) & 1 << 6;
    if (asserted && !reset_asserted_) ResetSecondary();
    reset_asserted_ = asserted;
  }

  void ResetSecondary() {
    for (const auto& [devfn, function] : bus_.functions()) function->Reset();
  }

  const RootPortOptions options_;
  ConfigSpace config_;
  HotPlugSlot slot_registers_;
  PortInterrupt interrupt_;
  PciSlot* slot_ = nullptr;
  Region memory_behind_, io_behind_;
  Window memory_window_{"memory window", &memory_behind_};
  Window prefetchable_window_{"prefetchable window", &memory_behind_};
  Window io_window_{"port window", &io_behind_};
  bool reset_asserted_ = false;
  PciBus bus_;
};

}  // namespace

std::unique_ptr<RootPort> CreateRootPort(const RootPortOptions& options, const PciBus& parent) {
  return std::make_unique<Port>(options, parent);
}

}  // namespace berth::hw

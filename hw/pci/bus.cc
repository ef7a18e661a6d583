#include "hw/pci/bus.h"

#include <atomic>

#include "hw/memory/address_map.h"
#include "hw/pci/trace.h"

namespace berth::hw {

// A function's view of its place.
class PciBus::Slot final : public PciSlot {
 public:
  Slot(const PciBus* bus, Devfn devfn) : bus_(bus), devfn_(devfn) {}
  AddressSpace& memory_space() override { return *bus_->resources_.memory_space; }
  Region& memory() override { return *bus_->resources_.memory; }
  AddressSpace& io_space() override { return *bus_->resources_.io_space; }
  Region& io() override { return *bus_->resources_.io; }
  InterruptController& interrupts() override { return *bus_->resources_.interrupts; }
  uint32_t IntxGsi(uint8_t pin) const override { return bus_->IntxGsi(devfn_ >> 3, pin); }
  bool behind_root_port() const override { return !bus_->is_root(); }

 private:
  const PciBus* const bus_;
  const Devfn devfn_;
};

PciBus::PciBus(const Resources& resources, const PciBus* parent, Devfn parent_devfn)
    : resources_(resources), parent_(parent), parent_devfn_(parent_devfn) {}

PciBus::~PciBus() = default;

Status PciBus::Add(Devfn devfn, std::unique_ptr<PciFunction> function) {
  if (cards_.contains(devfn)) {
    return Fail(Code::kAlreadyExists, "{} wants {:02x}.{}, where {} is", function->name(), devfn >> 3,
                devfn & 7, cards_.at(devfn).function->name());
  }
  Insert(TRY(Prepare(devfn, std::move(function))));
  return Ok();
}

Result<PciBus::Card> PciBus::Prepare(Devfn devfn, std::unique_ptr<PciFunction> function) const {
  Card card{devfn, std::make_unique<Slot>(this, devfn), std::move(function)};
  TRY(card.function->Attach(card.slot.get()));
  return card;
}

void PciBus::Insert(Card card) {
  const Devfn devfn = card.devfn;
  CHECK(cards_.emplace(devfn, std::move(card)).second);
}

PciBus::Card PciBus::Remove(Devfn devfn) {
  const auto found = cards_.find(devfn);
  CHECK(found != cards_.end());
  Card card = std::move(found->second);
  cards_.erase(found);
  card.function->Detach();
  return card;
}

PciFunction* PciBus::Find(Devfn devfn) const {
  const auto found = cards_.find(devfn);
  return found == cards_.end() ? nullptr : found->second.function.get();
}

std::vector<std::pair<Devfn, PciFunction*>> PciBus::functions() const {
  std::vector<std::pair<Devfn, PciFunction*>> all;
  for (const auto& [devfn, card] : cards_) all.emplace_back(devfn, card.function.get());
  return all;
}

PciBus* PciBus::FindBus(uint8_t own_number, uint8_t number) {
  if (number == own_number) return this;
  for (const auto& [devfn, card] : cards_) {
    auto* bridge = dynamic_cast<PciBridge*>(card.function.get());
    if (bridge == nullptr || bridge->secondary_number() <= own_number) continue;
    if (number < bridge->secondary_number() || number > bridge->subordinate_number()) continue;
    if (!bridge->link_up()) return nullptr;
    return bridge->secondary().FindBus(bridge->secondary_number(), number);
  }
  return nullptr;
}

uint32_t PciBus::IntxGsi(unsigned device, uint8_t pin) const {
  if (parent_ == nullptr) return map::kGsiPciFirst + (device + pin - 1) % map::kGsiPciCount;
  // PCI-to-PCI Bridge 1.2, table 9-1.
  return parent_->IntxGsi(parent_devfn_ >> 3, static_cast<uint8_t>((device + pin - 1) % 4 + 1));
}

// Memory-mapped accesses: bus, device, function and register are the address.
class PciHostBridge::Ecam final : public IoHandler {
 public:
  explicit Ecam(PciHostBridge* bridge) : bridge_(bridge) {}
  uint64_t Read(uint64_t offset, unsigned size) override {
    if (size > 4) return Read(offset, 4) | Read(offset + 4, 4) << 32;
    return bridge_->ReadConfig(Bus(offset), Function(offset), Register(offset), size);
  }
  void Write(uint64_t offset, unsigned size, uint64_t value) override {
    if (size > 4) {
      Write(offset, 4, value & 0xffffffff);
      return Write(offset + 4, 4, value >> 32);
    }
    bridge_->WriteConfig(Bus(offset), Function(offset), Register(offset), size, static_cast<uint32_t>(value));
  }

 private:
  static uint8_t Bus(uint64_t offset) { return static_cast<uint8_t>(offset >> 20); }
  static Devfn Function(uint64_t offset) { return static_cast<Devfn>(offset >> 12); }
  static uint16_t Register(uint64_t offset) { return offset & 0xfff; }
  PciHostBridge* const bridge_;
};

// Configuration mechanism 1: an address register at 0xcf8, a window of four bytes at 0xcfc.
class PciHostBridge::Ports final : public IoHandler {
 public:
  explicit Ports(PciHostBridge* bridge) : bridge_(bridge) {}
  uint64_t Read(uint64_t offset, unsigned size) override {
    if (offset < 4) return offset == 0 && size == 4 ? address_.load() : AllOnes(size);
    const uint32_t address = address_;
    if (!(address & kEnable) || size > 4) return AllOnes(size);
    return bridge_->ReadConfig(Bus(address), Function(address), Register(address, offset), size);
  }
  void Write(uint64_t offset, unsigned size, uint64_t value) override {
    if (offset == 0 && size == 4) address_ = static_cast<uint32_t>(value) & 0x80fffffc;
    const uint32_t address = address_;
    if (offset < 4 || !(address & kEnable) || size > 4) return;
    bridge_->WriteConfig(Bus(address), Function(address), Register(address, offset), size,
                         static_cast<uint32_t>(value));
  }

 private:
  static constexpr uint32_t kEnable = 1u << 31;
  static uint8_t Bus(uint32_t address) { return static_cast<uint8_t>(address >> 16); }
  static Devfn Function(uint32_t address) { return static_cast<Devfn>(address >> 8); }
  static uint16_t Register(uint32_t address, uint64_t offset) {
    return static_cast<uint16_t>((address & 0xfc) + (offset & 3));
  }
  PciHostBridge* const bridge_;
  std::atomic<uint32_t> address_{0};
};

PciHostBridge::PciHostBridge(const PciBus::Resources& resources)
    : root_(resources, nullptr, 0),
      ecam_(std::make_unique<Ecam>(this)),
      ports_(std::make_unique<Ports>(this)) {}

IoHandler* PciHostBridge::ecam_handler() { return ecam_.get(); }
IoHandler* PciHostBridge::port_handler() { return ports_.get(); }

PciFunction* PciHostBridge::Find(uint8_t bus, Devfn devfn) {
  PciBus* found = root_.FindBus(0, bus);
  return found == nullptr ? nullptr : found->Find(devfn);
}

uint32_t PciHostBridge::ReadConfig(uint8_t bus, Devfn devfn, uint16_t offset, unsigned size) {
  MutexLock lock(mutex_);
  PciFunction* function = Find(bus, devfn);
  if (function == nullptr || !IsAligned(offset, size)) return static_cast<uint32_t>(AllOnes(size));
  const uint32_t value = function->ReadConfig(offset, size);
  trace::pci_config_read(bus, devfn, offset, size, value);
  return value;
}

void PciHostBridge::WriteConfig(uint8_t bus, Devfn devfn, uint16_t offset, unsigned size, uint32_t value) {
  trace::pci_config_write(bus, devfn, offset, size, value);
  MutexLock lock(mutex_);
  PciFunction* function = Find(bus, devfn);
  if (function != nullptr && IsAligned(offset, size)) function->WriteConfig(offset, size, value);
}

namespace {

void ResetBus(PciBus& bus) {
  for (const auto& [devfn, function] : bus.functions()) {
    if (auto* bridge = dynamic_cast<PciBridge*>(function); bridge != nullptr) ResetBus(bridge->secondary());
    function->Reset();
  }
}

}  // namespace

void PciHostBridge::Reset() {
  MutexLock lock(mutex_);
  ResetBus(root_);
}

}  // namespace berth::hw

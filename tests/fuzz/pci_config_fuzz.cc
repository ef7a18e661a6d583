// A hostile guest at the configuration registers of a whole hierarchy, through ECAM, mechanism 1 and the BARs
// that it moves: two root ports with functions behind them, which come and go meanwhile, one function on the
// root bus, and RAM that BARs may come to lie over.
#include "hw/pci/bus.h"
#include "tests/fakes/fake_pci_function.h"
#include "tests/fakes/fake_pci_machine.h"
#include "tests/fuzz/fuzz_input.h"

namespace berth::hw {
namespace {

constexpr size_t kMaxOperations = 200;

enum Operation : uint8_t {
  kReadEcam,
  kWriteEcam,
  kReadPorts,
  kWritePorts,
  kAccessMemory,
  kAccessPort,
  kReset,
  kPlug,
  kAsk,
  kPull,
  kCount
};

// Checks what every listener counts on: it is told of a range once, and it is gone before another takes its
// place.
class Ledger final : public MemoryListener {
 public:
  Status Added(const FlatRange& range) override {
    CHECK(range.size != 0);
    for (const auto& [start, size] : ranges_) CHECK((!Range{start, size}.Overlaps(range.range())));
    ranges_.emplace(range.start, range.size);
    return Ok();
  }
  void Removed(const FlatRange& range) override {
    const auto found = ranges_.find(range.start);
    CHECK(found != ranges_.end() && found->second == range.size);
    ranges_.erase(found);
  }

 private:
  std::map<uint64_t, uint64_t> ranges_;
};

struct Guest {
  Guest() {
    CHECK(machine.memory.AddListener(&ledger));
    for (RootPort* port : ports) {
      Insert(port);
      port->Reset();
    }
    CHECK(machine.bridge.root().Add(MakeDevfn(3, 0),
                                    std::make_unique<FakePciFunction>("direct", uint8_t{3}, kBars)));
    const auto plan =
        PlanLayout(NeedsOf(machine.bridge.root()), {map::kMmio32, FakePciMachine::kMemory64, map::kPciPorts});
    CHECK(plan);
    ApplyLayout(machine.bridge.root(), *plan);
    AddressSpace::Transaction change(machine.memory);
    machine.memory.root().Add(&ram, 0);
  }
  ~Guest() { machine.memory.RemoveListener(&ledger); }

  static void Insert(RootPort* port) {
    auto card = port->secondary().Prepare(0, std::make_unique<FakePciFunction>("behind", uint8_t{1}, kBars));
    CHECK(card);
    port->Insert(std::move(*card));
  }
  static bool Occupied(RootPort* port) { return port->secondary().Find(0) != nullptr; }
  // As the machine does: the guest's accesses are over before the card is.
  void Pull(RootPort* port) {
    const PciBus::Card card = machine.bridge.Locked([port] { return port->Remove(); });
    machine.memory.WaitForReaders();
    machine.ports.WaitForReaders();
    CHECK(!Occupied(port) && port->removal() == Removal::kNone);
  }

  // Mostly where something is: buses 0 to 3, devices 0 to 3, the first 256 registers.
  static uint64_t Ecam(FuzzInput* input) {
    const auto bits = input->Take<uint32_t>();
    return bits & 1u << 31 ? bits & (map::kEcam.size - 1) & ~7u : bits & 0x3180ff;
  }
  void Do(FuzzInput* input) {
    const auto operation = input->Take<uint8_t>() % kCount;
    const unsigned size = 1u << input->Take<uint8_t>() % 4;
    switch (operation) {
      case kReadEcam:
        machine.bridge.ecam_handler()->Read(Ecam(input), size);
        break;
      case kWriteEcam:
        machine.bridge.ecam_handler()->Write(Ecam(input), size, input->Take<uint64_t>());
        break;
      case kReadPorts:
        machine.bridge.port_handler()->Read(input->Take<uint8_t>() % 8, std::min(size, 4u));
        break;
      case kWritePorts:
        machine.bridge.port_handler()->Write(input->Take<uint8_t>() % 8, std::min(size, 4u),
                                             input->Take<uint32_t>());
        break;
      case kAccessMemory: {
        const auto address = input->Take<uint64_t>() >> 18;
        machine.memory_reader.Write(address, size, machine.memory_reader.Read(address, size));
        break;
      }
      case kAccessPort: {
        const auto port = input->Take<uint16_t>();
        machine.port_reader.Write(port, size, machine.port_reader.Read(port, size));
        break;
      }
      case kReset:
        machine.bridge.Reset();
        for (RootPort* port : ports) CHECK(port->removal() == Removal::kNone);
        break;
      case kPlug:
      case kAsk:
      case kPull: {
        RootPort* const port = ports[input->Take<uint8_t>() % 2];
        if (!Occupied(port)) {
          if (operation == kPlug) Insert(port);
        } else if (operation == kAsk) {
          port->RequestRemoval();
          CHECK(port->removal() != Removal::kNone);
        } else if (operation == kPull || port->removal() == Removal::kReleased) {
          Pull(port);
        }
        break;
      }
    }
  }

  inline static const std::vector<BarRequest> kBars = {
      {.index = 0, .size = 0x1000},
      {.index = 1, .size = 0x20, .io = true},
      {.index = 2, .size = 256 * kMiB, .is_64bit = true, .prefetchable = true},
      {.index = Bars::kRomIndex, .size = 0x10000}};

  std::vector<uint8_t> bytes = std::vector<uint8_t>(0x10000);
  Ledger ledger;
  FakePciMachine machine;
  RootPort* const ports[2] = {&machine.AddRootPort(1), &machine.AddRootPort(2)};
  Region ram = Region::Ram("ram", {bytes.data(), bytes.size()});
};

}  // namespace
}  // namespace berth::hw

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  berth::FuzzInput input(data, size);
  berth::hw::Guest guest;
  for (size_t i = 0; i < berth::hw::kMaxOperations && !input.empty(); ++i) guest.Do(&input);
  return 0;
}

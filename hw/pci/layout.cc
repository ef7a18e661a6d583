#include "hw/pci/layout.h"

#include <algorithm>
#include <bit>

#include "hw/pci/pci_registers.h"

namespace berth::hw {
namespace {

constexpr uint64_t kBridgeGranule = kMiB, kBridgePortGranule = 4 * kKiB;

enum Window { kMemory32, kMemory64, kPorts, kWindows };

// Something that needs addresses of one window: a BAR, or a whole window of a bridge.
struct Item {
  uint64_t size = 0;
  uint64_t alignment = 0;
  uint64_t* address = nullptr;
};

// The window a BAR goes to. Behind a bridge only prefetchable memory reaches the 64-bit window: the other one
// is a 32-bit register (PCI-to-PCI Bridge 1.2, 3.2.5.6).
Window WindowOf(const BarRequest& bar, bool behind_bridge) {
  if (bar.io) return kPorts;
  if (!bar.is_64bit) return kMemory32;
  return bar.prefetchable || !behind_bridge ? kMemory64 : kMemory32;
}

// Largest alignment first leaves no gaps between powers of two.
void Sort(std::vector<Item>& items) {
  std::stable_sort(items.begin(), items.end(),
                   [](const Item& a, const Item& b) { return a.alignment > b.alignment; });
}

// The size and alignment of a window that holds `items`.
struct Extent {
  uint64_t size = 0;
  uint64_t alignment = 1;
};
Extent ExtentOf(std::vector<Item> items) {
  Sort(items);
  Extent extent;
  for (const Item& item : items) {
    extent.size = AlignUp(extent.size, item.alignment) + item.size;
    extent.alignment = std::max(extent.alignment, item.alignment);
  }
  return extent;
}

Status Assign(std::vector<Item>& items, const Range& window, const char* what, const char* whose) {
  Sort(items);
  uint64_t at = window.start;
  for (const Item& item : items) {
    const uint64_t address = AlignUp(at, item.alignment);
    if (address < at || !window.Contains(address, item.size)) {
      const Extent needed = ExtentOf(items);
      return Fail(Error(Code::kResourceExhausted,
                        fmt::format("the devices need {} of {}, the {} has {}", HumanSize(needed.size), what,
                                    whose, HumanSize(window.size)))
                      .Reason("PCI_WINDOW_EXHAUSTED"));
    }
    *item.address = address;
    at = address + item.size;
  }
  return Ok();
}

class Planner {
 public:
  explicit Planner(uint8_t next_bus = 1) : next_bus_(next_bus) {}

  Result<std::vector<FunctionPlan>> Plan(const std::vector<FunctionNeeds>& needs,
                                         const LayoutWindows& windows, bool behind_bridge = false) {
    std::vector<FunctionPlan> plans = Number(needs);
    const Range ranges[kWindows] = {windows.memory32, windows.memory64, windows.io};
    TRY(Place(needs, plans, ranges, behind_bridge));
    return plans;
  }

  // The items that a bus wants of one window, pointing into `plans`.
  static std::vector<Item> Items(const std::vector<FunctionNeeds>& needs, std::vector<FunctionPlan>& plans,
                                 Window window, bool behind_bridge) {
    std::vector<Item> items;
    for (size_t i = 0; i < needs.size(); ++i) {
      for (size_t b = 0; b < needs[i].bars.size(); ++b) {
        const BarRequest& bar = needs[i].bars[b];
        if (WindowOf(bar, behind_bridge) != window) continue;
        items.push_back(
            {bar.size, std::max({bar.size, bar.alignment, uint64_t{1}}), &plans[i].bars[b].second});
      }
      if (needs[i].is_bridge) AddBridge(needs[i], plans[i], window, &items);
    }
    return items;
  }

 private:
  static Range& WindowRange(FunctionPlan& plan, Window window) {
    return window == kMemory32 ? plan.memory : window == kMemory64 ? plan.prefetchable : plan.io;
  }

  static void AddBridge(const FunctionNeeds& needs, FunctionPlan& plan, Window window,
                        std::vector<Item>* items) {
    Extent extent = ExtentOf(Items(needs.behind, plan.behind, window, true));
    const WindowSizes& sizes = needs.reserved;
    const uint64_t reserved = window == kMemory32   ? sizes.memory
                              : window == kMemory64 ? sizes.prefetchable
                                                    : sizes.io;
    if (reserved > extent.size) {
      // Aligned so that the largest BAR that could come fits.
      extent.size = reserved;
      extent.alignment = std::max(extent.alignment, std::bit_floor(reserved));
    }
    if (extent.size == 0) return;
    const uint64_t granule = window == kPorts ? kBridgePortGranule : kBridgeGranule;
    Range& range = WindowRange(plan, window);
    range.size = AlignUp(extent.size, granule);
    items->push_back({range.size, std::max(extent.alignment, granule), &range.start});
  }

  std::vector<FunctionPlan> Number(const std::vector<FunctionNeeds>& needs) {
    std::vector<FunctionPlan> plans;
    for (const FunctionNeeds& need : needs) {
      FunctionPlan plan{.devfn = need.devfn};
      for (const BarRequest& bar : need.bars) plan.bars.emplace_back(bar.index, 0);
      if (need.is_bridge) {
        plan.secondary = next_bus_++;
        plan.behind = Number(need.behind);
        plan.subordinate = static_cast<uint8_t>(next_bus_ - 1);
      }
      plans.push_back(std::move(plan));
    }
    return plans;
  }

  static Status Place(const std::vector<FunctionNeeds>& needs, std::vector<FunctionPlan>& plans,
                      const Range (&ranges)[kWindows], bool behind_bridge) {
    static constexpr const char* kNames[kWindows] = {"32-bit memory addresses", "64-bit memory addresses",
                                                     "I/O ports"};
    for (int window = 0; window < kWindows; ++window) {
      std::vector<Item> items = Items(needs, plans, static_cast<Window>(window), behind_bridge);
      TRY(Assign(items, ranges[window], kNames[window], behind_bridge ? "port" : "machine"));
    }
    for (size_t i = 0; i < needs.size(); ++i) {
      if (!needs[i].is_bridge) continue;
      const Range inner[kWindows] = {plans[i].memory, plans[i].prefetchable, plans[i].io};
      TRY(Place(needs[i].behind, plans[i].behind, inner, true));
    }
    return Ok();
  }

  uint8_t next_bus_;
};

void Write32(PciFunction& function, uint16_t offset, uint64_t value) {
  function.WriteConfig(offset, 4, static_cast<uint32_t>(value));
}

void ApplyBar(PciFunction& function, unsigned index, uint64_t address) {
  const auto request = std::find_if(function.bars().begin(), function.bars().end(),
                                    [index](const BarRequest& bar) { return bar.index == index; });
  CHECK(request != function.bars().end());
  // The ROM's enable bit stays off.
  const uint16_t offset = index == 6 ? pci::kRomBar : static_cast<uint16_t>(pci::kBar0 + 4 * index);
  Write32(function, offset, address);
  if (request->is_64bit) Write32(function, offset + 4, address >> 32);
}

void ApplyBridge(PciFunction& function, const FunctionPlan& plan) {
  using namespace pci;
  function.WriteConfig(kSecondaryBus, 1, plan.secondary);
  function.WriteConfig(kSubordinateBus, 1, plan.subordinate);
  if (plan.memory.size != 0) {
    Write32(function, kMemoryBase, (plan.memory.end() - 1) >> 16 << 16 | plan.memory.start >> 16);
  }
  if (plan.prefetchable.size != 0) {
    const uint64_t last = plan.prefetchable.end() - 1;
    Write32(function, kPrefetchableBase,
            (last >> 16 & 0xffff) << 16 | (plan.prefetchable.start >> 16 & 0xffff));
    Write32(function, kPrefetchableBaseUpper, plan.prefetchable.start >> 32);
    Write32(function, kPrefetchableLimitUpper, last >> 32);
  }
  if (plan.io.size != 0) {
    function.WriteConfig(kIoBase, 2,
                         static_cast<uint32_t>((plan.io.end() - 1) >> 8 << 8 | plan.io.start >> 8));
  }
}

}  // namespace

std::vector<FunctionNeeds> NeedsOf(const PciBus& bus) {
  std::vector<FunctionNeeds> needs;
  for (const auto& [devfn, function] : bus.functions()) {
    FunctionNeeds need{.devfn = devfn, .bars = {function->bars().begin(), function->bars().end()}};
    if (auto* bridge = dynamic_cast<PciBridge*>(function); bridge != nullptr) {
      need.is_bridge = true;
      need.behind = NeedsOf(bridge->secondary());
      need.reserved = bridge->reserved();
    }
    needs.push_back(std::move(need));
  }
  return needs;
}

Memory64Needs NeedsOfMemory64(const std::vector<FunctionNeeds>& needs) {
  // Placed from 0 in a window without end.
  const Range endless{0, ~uint64_t{0}};
  auto plans = Planner().Plan(needs, {endless, endless, endless});
  CHECK(plans);
  const Extent extent = ExtentOf(Planner::Items(needs, *plans, kMemory64, false));
  return {extent.size, extent.alignment};
}

Result<std::vector<FunctionPlan>> PlanLayout(const std::vector<FunctionNeeds>& needs,
                                             const LayoutWindows& windows) {
  return Planner().Plan(needs, windows);
}

Result<std::vector<FunctionPlan>> PlanBehind(const std::vector<FunctionNeeds>& needs,
                                             const FunctionPlan& bridge) {
  return Planner(bridge.secondary + 1).Plan(needs, {bridge.memory, bridge.prefetchable, bridge.io}, true);
}

uint8_t LastBus(const std::vector<FunctionPlan>& plan) {
  uint8_t last = 0;
  for (const FunctionPlan& one : plan) last = std::max(last, one.subordinate);
  return last;
}

void ApplyLayout(PciBus& bus, const std::vector<FunctionPlan>& plan) {
  using namespace pci;
  for (const FunctionPlan& one : plan) {
    PciFunction* function = bus.Find(one.devfn);
    CHECK(function != nullptr);
    uint32_t command = 0;
    for (const auto& [index, address] : one.bars) ApplyBar(*function, index, address);
    for (const BarRequest& bar : function->bars()) command |= bar.io ? kCommandIo : kCommandMemory;
    if (auto* bridge = dynamic_cast<PciBridge*>(function); bridge != nullptr) {
      ApplyBridge(*function, one);
      ApplyLayout(bridge->secondary(), one.behind);
      command = kCommandMemory | kCommandIo | kCommandMaster;
    }
    function->WriteConfig(kCommand, 2, command);
  }
}

}  // namespace berth::hw

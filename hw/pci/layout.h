// Where BARs, bridge windows and bus numbers go: what firmware would decide, so that a guest's kernel finds
// everything in place. Pure; the addresses of a machine are the same every time it is built from the same
// devices.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "hw/pci/bus.h"

namespace berth::hw {

struct FunctionNeeds {
  Devfn devfn = 0;
  std::vector<BarRequest> bars;
  bool is_bridge = false;
  std::vector<FunctionNeeds> behind;  // Of a bridge.
  WindowSizes reserved;
};

struct FunctionPlan {
  Devfn devfn = 0;
  std::vector<std::pair<unsigned, uint64_t>> bars;  // Index and address.
  // Of a bridge; a window of size 0 is closed.
  uint8_t secondary = 0, subordinate = 0;
  Range memory, prefetchable, io;
  std::vector<FunctionPlan> behind;
};

struct LayoutWindows {
  Range memory32, memory64, io;
};

// What a bus with its bridges needs.
std::vector<FunctionNeeds> NeedsOf(const PciBus& bus);
// The size that `needs` take of the 64-bit window, with alignment, and their largest BAR: for PlanAddressMap.
struct Memory64Needs {
  uint64_t size = 0;
  uint64_t largest = 0;
};
Memory64Needs NeedsOfMemory64(const std::vector<FunctionNeeds>& needs);

// RESOURCE_EXHAUSTED, with the sizes, if a window is too small.
Result<std::vector<FunctionPlan>> PlanLayout(const std::vector<FunctionNeeds>& needs,
                                             const LayoutWindows& windows);

// Where what is behind a bridge now goes, within the windows that the bridge has in its plan: for devices
// that came after. Errors as PlanLayout's.
Result<std::vector<FunctionPlan>> PlanBehind(const std::vector<FunctionNeeds>& needs,
                                             const FunctionPlan& bridge);

// The highest bus number of a plan.
uint8_t LastBus(const std::vector<FunctionPlan>& plan);

// Writes a plan into the functions' registers and turns decoding on, as firmware leaves it. Bus mastering
// stays off but for bridges.
void ApplyLayout(PciBus& root, const std::vector<FunctionPlan>& plan);

}  // namespace berth::hw

#include "vfio/bar_plan.h"

#include <algorithm>
#include <bit>

#include "hw/pci/bars.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci_registers.h"

namespace berth::vfio {
namespace {

namespace pci = hw::pci;
constexpr uint64_t kPage = 4 * kKiB;
constexpr unsigned kBars = 6, kRom = hw::Bars::kRomIndex;
constexpr uint64_t kMaxBar = uint64_t{1} << 46, kMaxIoBar = 64 * kKiB, kMaxRom = 16 * kMiB;
constexpr uint64_t kMinMemory = 16, kMinIo = 4, kMinRom = 2 * kKiB;

uint64_t TableSize(const MsixPlan& msix) { return uint64_t{msix.vectors} * hw::Msix::kEntrySize; }
uint64_t PbaSize(const MsixPlan& msix) { return AlignUp(msix.vectors, 64) / 8; }

Result<BarPlan> PlanBar(const RegionInfo& region, unsigned index, uint32_t low, uint32_t high) {
  BarPlan plan;
  hw::BarRequest& request = plan.request;
  request.index = index;
  request.io = low & pci::kBarIo;
  request.is_64bit = !request.io && (low & pci::kBar64);
  request.prefetchable = !request.io && (low & pci::kBarPrefetchable);
  plan.unassigned = low == 0 && (!request.is_64bit || high == 0);
  const uint64_t limit = request.io ? kMaxIoBar : request.is_64bit ? kMaxBar : 2 * kGiB;
  if (region.size > limit) {
    return Fail(Code::kUnimplemented, "BAR {} has {}, which is more than a BAR of its kind can have", index,
                HumanSize(region.size));
  }
  if (request.is_64bit && index + 1 >= kBars) {
    return Fail(Code::kUnimplemented, "BAR {} is the last one and claims 64 bits", index);
  }
  request.size = std::bit_ceil(std::max(region.size, request.io ? kMinIo : kMinMemory));
  // What has a page to itself on the host is shown as a page: only so can the guest not place it where it
  // could not be mapped.
  if (!request.io && !region.mappable.empty()) request.size = std::max(request.size, kPage);
  // BARs that share a page with another could not be mapped.
  if (!request.io) request.alignment = std::max(request.size, kPage);
  if (!request.io) plan.map = plan.show = region.mappable;
  return plan;
}

Result<BarPlan> PlanRom(const RegionInfo& region) {
  if (region.size > kMaxRom) return Fail(Code::kUnimplemented, "a ROM of {}", HumanSize(region.size));
  BarPlan plan;
  plan.request.index = kRom;
  plan.request.size = std::bit_ceil(std::max(region.size, kMinRom));
  return plan;
}

BarPlan* Find(FunctionPlan* plan, unsigned index) {
  for (BarPlan& bar : plan->bars) {
    if (bar.request.index == index) return &bar;
  }
  return nullptr;
}

bool Holds(const BarPlan* bar, uint64_t offset, uint64_t size) {
  return bar != nullptr && !bar->request.io && Range{0, bar->request.size}.Contains(offset, size);
}

// The table and the pending bits where the hardware says, if that can be.
bool IsPlausible(FunctionPlan* plan, const MsixPlan& msix) {
  const Range table{msix.table_offset, TableSize(msix)}, pba{msix.pba_offset, PbaSize(msix)};
  return Holds(Find(plan, msix.table_bar), table.start, table.size) &&
         Holds(Find(plan, msix.pba_bar), pba.start, pba.size) &&
         (msix.table_bar != msix.pba_bar || !table.Overlaps(pba));
}

// Into the first BAR that is not in use. Nothing but the structures is there, so nothing shares their pages.
bool Relocate(FunctionPlan* plan, MsixPlan* msix) {
  for (unsigned i = 0; i < kBars; ++i) {
    const BarPlan* below = i == 0 ? nullptr : Find(plan, i - 1);
    if (Find(plan, i) != nullptr || (below != nullptr && below->request.is_64bit)) continue;
    msix->relocated = true;
    msix->table_bar = msix->pba_bar = i;
    msix->table_offset = 0;
    msix->pba_offset = static_cast<uint32_t>(TableSize(*msix));
    BarPlan bar;
    bar.request.index = i;
    bar.request.size = std::bit_ceil(std::max(TableSize(*msix) + PbaSize(*msix), kPage));
    bar.request.alignment = bar.request.size;
    plan->bars.push_back(std::move(bar));
    return true;
  }
  return false;
}

// The pages of the table are asked for only where VFIO maps them.
void KeepToMappable(FunctionPlan* plan, const MsixPlan& msix, std::span<const RegionInfo> regions) {
  if (regions[msix.table_bar].msix_mappable) return;
  const Range table{msix.table_offset, TableSize(msix)};
  BarPlan* bar = Find(plan, msix.table_bar);
  bar->map = CutPages(std::move(bar->map), {&table, 1});
  bar->show = CutPages(std::move(bar->show), {&table, 1});
}

// The guest's accesses to the structures trap, and so do those to the rest of their pages.
void TrapStructures(FunctionPlan* plan, const MsixPlan& msix) {
  const std::pair<unsigned, Range> structures[] = {{msix.table_bar, {msix.table_offset, TableSize(msix)}},
                                                   {msix.pba_bar, {msix.pba_offset, PbaSize(msix)}}};
  for (const auto& [index, range] : structures) {
    BarPlan* bar = Find(plan, index);
    bar->show = CutPages(std::move(bar->show), {&range, 1});
  }
}

}  // namespace

std::optional<MsixPlan> ReadMsix(std::span<const uint8_t> config, uint16_t offset, uint32_t vfio_vectors) {
  if (vfio_vectors == 0 || offset + 12u > std::min<size_t>(config.size(), 0x100)) return std::nullopt;
  MsixPlan msix;
  const unsigned in_hardware = (LoadLe<uint16_t>(&config[offset + 2]) & 0x7ff) + 1u;
  msix.vectors = std::min({in_hardware, unsigned{vfio_vectors}, hw::Msix::kMaxVectors});
  const auto table = LoadLe<uint32_t>(&config[offset + 4]), pba = LoadLe<uint32_t>(&config[offset + 8]);
  msix.table_bar = table & 7;
  msix.table_offset = table & ~7u;
  msix.pba_bar = pba & 7;
  msix.pba_offset = pba & ~7u;
  return msix;
}

Result<FunctionPlan> PlanFunction(std::span<const uint8_t> config, std::span<const RegionInfo> regions,
                                  std::optional<MsixPlan> msix, bool relocate_msix) {
  CHECK(config.size() >= 0x40 && regions.size() > kRom);
  FunctionPlan plan;
  for (unsigned i = 0; i < kBars; ++i) {
    if (regions[i].size == 0) continue;
    const auto low = LoadLe<uint32_t>(&config[pci::kBar0 + 4 * i]);
    const auto high = i + 1 < kBars ? LoadLe<uint32_t>(&config[pci::kBar0 + 4 * i + 4]) : 0;
    plan.bars.push_back(TRY(PlanBar(regions[i], i, low, high)));
    if (plan.bars.back().request.is_64bit) ++i;  // The next register is its upper half.
  }
  if (regions[kRom].size != 0) plan.bars.push_back(TRY(PlanRom(regions[kRom])));
  if (!msix) return plan;
  const bool plausible = IsPlausible(&plan, *msix);
  if (plausible) KeepToMappable(&plan, *msix, regions);
  if (plausible && !relocate_msix) {
    TrapStructures(&plan, *msix);
    plan.msix = msix;
  } else if (Relocate(&plan, &*msix)) {
    plan.msix = msix;
  }
  return plan;
}

std::vector<Range> CutPages(std::vector<Range> areas, std::span<const Range> holes) {
  for (const Range& hole : holes) {
    if (hole.size == 0) continue;
    const uint64_t start = AlignDown(hole.start, kPage), end = AlignUp(hole.end(), kPage);
    std::vector<Range> left;
    for (const Range& area : areas) {
      if (area.end() <= start || area.start >= end) {
        left.push_back(area);
        continue;
      }
      if (area.start < start) left.push_back({area.start, start - area.start});
      if (area.end() > end) left.push_back({end, area.end() - end});
    }
    areas = std::move(left);
  }
  return areas;
}

}  // namespace berth::vfio

#include "vfio/function_bar.h"

#include "base/log.h"

namespace berth::vfio {
namespace {
// Priorities in the container.
constexpr int kTrapped = 0, kMapped = 1, kOnTop = 2;
}  // namespace

FunctionBar::FunctionBar(const Device* device, const hw::BarRequest& request, RegionInfo info)
    : name_(fmt::format("{} BAR {}", device->name(), request.index)),
      request_(request),
      device_region_(device, std::move(info)),
      container_(hw::Region::Container(name_, request.size)),
      trapped_(hw::Region::Io(name_ + " (trapped)", request.size, &device_region_)) {
  container_.Add(&trapped_, 0, kTrapped);
}

Result<std::unique_ptr<FunctionBar>> FunctionBar::Create(const Device* device, const BarPlan& plan,
                                                         RegionInfo info) {
  std::unique_ptr<FunctionBar> bar(new FunctionBar(device, plan.request, std::move(info)));
  if (const Status mapped = bar->device_region_.Map(plan.map); !mapped) {
    if (plan.unassigned) {
      return Fail(
          Error(Code::kFailedPrecondition, fmt::format("{}: the host has not assigned addresses to it ({})",
                                                       bar->name_, mapped.error().message()))
              .Reason("BAR_UNASSIGNED"));
    }
    LOG_WARNING("{}: accesses will trap, which is slow: {}", bar->name_, mapped.error().message());
  }
  for (const Range& range : plan.show) bar->Show(range);
  return bar;
}

void FunctionBar::Show(const Range& range) {
  for (const DeviceRegion::Mapped& mapped : device_region_.mapped()) {
    if (!mapped.range.Contains(range.start, range.size)) continue;
    const hw::HostMapping mapping{.address = mapped.address + (range.start - mapped.range.start),
                                  .size = range.size};
    parts_.push_back(std::make_unique<Part>(&device_region_, range.start));
    pieces_.push_back(std::unique_ptr<hw::Region>(
        new hw::Region(hw::Region::DeviceMemory(name_, mapping, parts_.back().get()))));
    mapped_pieces_.emplace_back(range.start, pieces_.back().get());
    container_.Add(pieces_.back().get(), range.start, kMapped);
  }
}

void FunctionBar::SetMapped(bool mapped) {
  for (const auto& [offset, piece] : mapped_pieces_) {
    if (piece->attached() == mapped) continue;
    if (mapped) {
      container_.Add(piece, offset, kMapped);
    } else {
      container_.Remove(piece);
    }
  }
}

void FunctionBar::PutOnTop(const char* what, uint64_t offset, uint64_t size, hw::IoHandler* handler) {
  pieces_.push_back(std::unique_ptr<hw::Region>(
      new hw::Region(hw::Region::Io(fmt::format("{} {}", name_, what), size, handler))));
  container_.Add(pieces_.back().get(), offset, kOnTop);
}

}  // namespace berth::vfio

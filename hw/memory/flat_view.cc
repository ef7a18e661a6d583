#include "hw/memory/flat_view.h"

#include <algorithm>

namespace berth::hw {
namespace {

constexpr int kMaxDepth = 16;

// Where a region's first byte would be: an alias that shows the end of its target has it below address 0, and
// what hangs over the end of its parent ends above 2^64.
using Position = __int128;

// Fills a view from the highest priority down: what is there already stays, so each region only gets the
// gaps.
class Flattener {
 public:
  explicit Flattener(FlatView* view) : view_(view) {}

  // Renders `region` with its first byte at `base`, as far as `window` shows it.
  void Render(const Region& region, Position base, Range window, int depth) {
    window = Intersect(window, base, region.size());
    if (window.size == 0 || depth > kMaxDepth) return;
    if (region.kind() == Region::Kind::kAlias) {
      Render(*region.alias_target(), base - region.alias_offset(), window, depth + 1);
      return;
    }
    for (const Region* child : region.children()) {
      Render(*child, base + child->offset_in_parent(), window, depth + 1);
    }
    if (region.kind() != Region::Kind::kContainer) FillGaps(region, base, window);
  }

 private:
  // The part of [base, base + size) inside `window`.
  static Range Intersect(const Range& window, Position base, uint64_t size) {
    const Position start = std::max<Position>(window.start, base);
    const Position end = std::min<Position>(window.end(), base + size);
    if (end <= start) return {};
    return {static_cast<uint64_t>(start), static_cast<uint64_t>(end - start)};
  }

  void FillGaps(const Region& region, Position base, const Range& window) {
    auto& ranges = view_->ranges;
    uint64_t at = window.start;
    auto next = std::partition_point(ranges.begin(), ranges.end(),
                                     [at](const FlatRange& range) { return range.range().end() <= at; });
    while (at < window.end()) {
      const uint64_t gap_end = next == ranges.end() ? window.end() : std::min(window.end(), next->start);
      if (gap_end > at) {
        next = ranges.insert(next, Slice(region, base, {at, gap_end - at})) + 1;
        AddIoEvents(region, base, {at, gap_end - at});
      }
      if (next == ranges.end() || next->start >= window.end()) break;
      at = next->range().end();
      ++next;
    }
  }

  static FlatRange Slice(const Region& region, Position base, const Range& part) {
    const auto offset = static_cast<uint64_t>(part.start - base);
    FlatRange range{.start = part.start,
                    .size = part.size,
                    .kind = region.kind(),
                    .writable = region.writable(),
                    .handler = region.handler(),
                    .offset_in_region = offset,
                    .mapping = region.mapping()};
    if (range.mapping.address != nullptr) {
      range.mapping.address += offset;
      range.mapping.size = part.size;
      range.mapping.fd_offset += offset;
    }
    return range;
  }

  void AddIoEvents(const Region& region, Position base, const Range& part) {
    for (const IoEvent& event : region.io_events()) {
      const auto address = static_cast<uint64_t>(base + event.offset);
      if (part.Contains(address, std::max(event.size, 1u))) view_->io_events.push_back({address, event});
    }
  }

  FlatView* const view_;
};

}  // namespace

bool FlatRange::SameAs(const FlatRange& other) const {
  return start == other.start && size == other.size && kind == other.kind && writable == other.writable &&
         handler == other.handler && offset_in_region == other.offset_in_region &&
         mapping.address == other.mapping.address;
}

const FlatRange* FlatView::Find(uint64_t address) const {
  const auto after = std::partition_point(
      ranges.begin(), ranges.end(), [address](const FlatRange& range) { return range.start <= address; });
  if (after == ranges.begin()) return nullptr;
  const FlatRange& range = *(after - 1);
  return range.range().Contains(address) ? &range : nullptr;
}

FlatView Flatten(const Region& root) {
  FlatView view;
  Flattener(&view).Render(root, 0, {0, root.size()}, 0);
  return view;
}

}  // namespace berth::hw

#include "block/nbd/export.h"

#include <algorithm>

#include "base/bytes.h"
#include "block/chain.h"
#include "block/format_image.h"
#include "block/nbd/protocol.h"

namespace berth::block::nbd {
namespace {

// Of one answer; clients ask on from where it ends.
constexpr size_t kMaxStatusExtents = 8192;
constexpr uint32_t kLeastPreferredBytes = 4096;

struct Piece {
  uint64_t length = 0;
  uint32_t flags = 0;
};

// The ranges are in order and apart.
Piece DirtyAt(const std::vector<Range>& ranges, uint64_t offset, uint64_t length) {
  const auto next = std::upper_bound(ranges.begin(), ranges.end(), offset,
                                     [](uint64_t at, const Range& range) { return at < range.end(); });
  if (next == ranges.end()) return {length, 0};
  if (offset < next->start) return {std::min(length, next->start - offset), 0};
  return {std::min(length, next->end() - offset), kStatusDirty};
}

// `bitmap`: what the context's says, if it is one of those.
Result<Piece> StatusAt(const Export& what, uint32_t context, const std::vector<Range>* bitmap,
                       uint64_t offset, uint64_t length) {
  if (bitmap != nullptr) return DirtyAt(*bitmap, offset, length);
  const ChainExtent extent = TRY(StatusAbove(what.image, nullptr, offset, length));
  if (context == kContextAllocationDepth) {
    return Piece{extent.length, extent.allocated ? static_cast<uint32_t>(extent.depth) + 1 : 0};
  }
  const bool zero = extent.zero || !extent.allocated;
  return Piece{extent.length, (extent.data ? 0 : kStatusHole) | (zero ? kStatusZero : 0)};
}

}  // namespace

uint16_t Export::TransmissionFlags() const {
  uint16_t flags = kFlagHasFlags | kFlagSendFlush | kFlagSendFua | kFlagSendDf | kFlagSendCache;
  flags |= read_only ? kFlagReadOnly : kFlagSendTrim | kFlagSendWriteZeroes;
  if (multi_conn) flags |= kFlagCanMultiConn;
  return flags;
}

uint32_t Export::PreferredBlockBytes() const {
  uint64_t preferred = std::max(kLeastPreferredBytes, image->limits().optimal_io_size_bytes);
  if (const auto* format = dynamic_cast<const FormatImage*>(image)) {
    preferred = std::max(preferred, format->Info().cluster_size_bytes.value_or(0));
  }
  return IsPowerOfTwo(preferred) ? static_cast<uint32_t>(std::min<uint64_t>(preferred, kMaxPayloadBytes))
                                 : kLeastPreferredBytes;
}

Result<ExportedBitmap> FindBitmap(Image* image, const std::string& name, bool read_only) {
  for (Image* holder = image; holder != nullptr;) {
    const auto* format = dynamic_cast<const FormatImage*>(holder);
    if (auto* store = dynamic_cast<BitmapStore*>(holder)) {
      for (const BitmapInfo& info : store->Bitmaps()) {
        if (info.name != name) continue;
        if (info.inconsistent) {
          return Fail(
              Code::kFailedPrecondition,
              "Bitmap '{}' is inconsistent and cannot be used\nTry block-dirty-bitmap-remove to delete this "
              "bitmap from disk",
              name);
        }
        ExportedBitmap found{.name = name, .ranges = TRY(store->DirtyRanges(name))};
        if (!read_only && info.enabled && holder == image) found.recording = store;
        return found;
      }
    }
    holder = format == nullptr ? nullptr : format->backing();
  }
  return Fail(Code::kNotFound, "Bitmap '{}' is not found", name);
}

std::vector<NamedContext> AllContexts(const Export& what) {
  std::vector<NamedContext> all{{kContextBaseAllocation, std::string(kBaseAllocation)}};
  if (what.allocation_depth) all.push_back({kContextAllocationDepth, std::string(kAllocationDepth)});
  for (uint32_t i = 0; i < what.bitmaps.size(); ++i) {
    all.push_back({kContextFirstBitmap + i, std::string(kDirtyBitmap) + what.bitmaps[i].name});
  }
  return all;
}

std::vector<NamedContext> SelectContexts(const Export& what, std::string_view query, bool listing) {
  std::vector<NamedContext> all = AllContexts(what);
  std::erase_if(all, [&](const NamedContext& context) {
    const bool whole_namespace = listing && query.ends_with(':') && context.name.starts_with(query);
    return context.name != query && !whole_namespace;
  });
  return all;
}

Result<std::vector<uint8_t>> BlockStatus(const Export& what, uint32_t context, uint64_t offset,
                                         uint32_t length, bool one) {
  std::vector<Range> now;
  const std::vector<Range>* bitmap = nullptr;
  if (context >= kContextFirstBitmap) {
    const ExportedBitmap& exported = what.bitmaps[context - kContextFirstBitmap];
    if (exported.recording != nullptr) now = TRY(exported.recording->DirtyRanges(exported.name));
    bitmap = exported.recording != nullptr ? &now : &exported.ranges;
  }
  std::vector<uint8_t> bytes(4);
  StoreBe<uint32_t>(bytes.data(), context);
  uint64_t at = offset;
  const uint64_t end = offset + length;
  Piece run = TRY(StatusAt(what, context, bitmap, at, end - at));
  at += run.length;
  for (size_t count = 1;; ++count) {
    Piece next;
    // Neighbours that are alike are one extent.
    while (at < end) {
      next = TRY(StatusAt(what, context, bitmap, at, end - at));
      at += next.length;
      if (next.flags != run.flags) break;
      run.length += next.length;
      next = {};
    }
    bytes.resize(bytes.size() + 8);
    StoreBe<uint32_t>(&bytes[bytes.size() - 8], static_cast<uint32_t>(run.length));
    StoreBe<uint32_t>(&bytes[bytes.size() - 4], run.flags);
    if (next.length == 0 || one || count == kMaxStatusExtents) return bytes;
    run = next;
  }
}

}  // namespace berth::block::nbd

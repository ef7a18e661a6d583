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

Result<Piece> StatusAt(const Export& what, uint32_t context, uint64_t offset, uint64_t length) {
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

std::vector<NamedContext> AllContexts(const Export& what) {
  std::vector<NamedContext> all{{kContextBaseAllocation, std::string(kBaseAllocation)}};
  if (what.allocation_depth) all.push_back({kContextAllocationDepth, std::string(kAllocationDepth)});
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
  std::vector<uint8_t> bytes(4);
  StoreBe<uint32_t>(bytes.data(), context);
  uint64_t at = offset;
  const uint64_t end = offset + length;
  Piece run = TRY(StatusAt(what, context, at, end - at));
  at += run.length;
  for (size_t count = 1;; ++count) {
    Piece next;
    // Neighbours that are alike are one extent.
    while (at < end) {
      next = TRY(StatusAt(what, context, at, end - at));
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

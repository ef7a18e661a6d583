#include "block/vmdk/image.h"

#include <algorithm>
#include <cerrno>
#include <random>

#include <nlohmann/json.hpp>

#include "base/pieces.h"

namespace berth::block::vmdk {

uint32_t NewCid() {
  std::random_device device;
  // All ones and its neighbour mean "none".
  return std::min<uint32_t>(device(), kNoParent - 2);
}

VmdkImage::~VmdkImage() {
  if (!limits_.read_only) (void)FlushAll();
}

Part* VmdkImage::PartAt(uint64_t offset) {
  const auto after = std::upper_bound(parts_.begin(), parts_.end(), offset,
                                      [](uint64_t at, const Part& part) { return at < part.start; });
  return &*std::prev(after);
}

int VmdkImage::FlushAll() {
  int first = 0;
  for (Part& part : parts_) {
    const int error = part.stream != nullptr ? part.stream->Finish()
                      : part.sparse          ? part.sparse->Flush()
                                             : Flush(FileOf(part));
    if (first == 0) first = error;
  }
  const int error = Flush(file());
  return first != 0 ? first : error;
}

// Content that is about to differ from what others have seen gets another CID: an image whose parent this is
// notices.
int VmdkImage::PrepareToChange() {
  MutexLock lock(cid_mutex_);
  if (cid_changed_ || !descriptor_.cid_at) return 0;
  const uint32_t cid = NewCid();
  const std::string text = CidText(cid);
  const int error = Write(file(), descriptor_offset_ + *descriptor_.cid_at,
                          {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  if (error != 0) return error;
  cid_ = cid;
  cid_changed_ = true;
  return 0;
}

bool VmdkImage::ParentChanged() const {
  const auto* parent = dynamic_cast<const VmdkImage*>(backing());
  return parent != nullptr && parent->cid() != descriptor_.parent_cid;
}

int VmdkImage::PerformIn(Part* part, const Request& request) {
  if (part->stream != nullptr && request.op == Op::kWrite) return part->stream->Write(request);
  if (part->sparse) return part->sparse->Perform(request);
  if (request.op == Op::kDiscard) return 0;
  Request moved = request;
  moved.offset += part->flat_offset;
  return FileOf(*part)->Perform(moved);
}

int VmdkImage::Perform(const Request& request) {
  if (const int error = CheckRequest(request, size_, limits_.read_only); error != 0) return error;
  if (request.op == Op::kFlush) return limits_.read_only ? 0 : FlushAll();
  if (request.op == Op::kRead && ParentChanged()) return EINVAL;
  if (request.op != Op::kRead) {
    if (const int error = PrepareToChange(); error != 0) return error;
  }
  std::vector<iovec> pieces;
  for (uint64_t done = 0; done < request.length;) {
    const uint64_t offset = request.offset + done;
    Part* const part = PartAt(offset);
    Request own = request;
    own.offset = offset - part->start;
    own.length = std::min(request.length - done, part->size - own.offset);
    if (own.length != request.length && !request.pieces.empty()) {
      SlicePieces(request.pieces, done, own.length, &pieces);
      own.pieces = pieces;
      own.length = 0;
      for (const iovec& piece : pieces) own.length += piece.iov_len;
    }
    if (const int error = PerformIn(part, own); error != 0) return error;
    done += own.length;
  }
  return 0;
}

Result<Extent> VmdkImage::Map(uint64_t offset, uint64_t length) {
  Part* const part = PartAt(offset);
  const uint64_t inside = offset - part->start;
  length = std::min(length, part->size - inside);
  Extent extent{.length = length,
                .allocated = true,
                .data = true,
                .ask_file = true,
                .stored_at = part->flat_offset + inside};
  if (part->sparse) extent = TRY(part->sparse->Map(inside, length));
  extent.offset = offset;
  if (part->file) extent.stored_in = part->file.get();
  return extent;
}

std::optional<uint64_t> VmdkImage::AllocatedBytes() const {
  auto bytes = file()->AllocatedBytes();
  for (const Part& part : parts_) {
    const auto more = part.file ? part.file->AllocatedBytes() : std::nullopt;
    if (bytes && more) *bytes += *more;
  }
  return bytes;
}

std::optional<BackingReference> VmdkImage::backing_reference() const {
  if (descriptor_.parent_name.empty()) return std::nullopt;
  return BackingReference{descriptor_.parent_name, "vmdk"};
}

ImageInfo VmdkImage::Info() const {
  ImageInfo info;
  if (parts_.empty() || !parts_[0].sparse) return info;
  const auto grain = [](const Part& part) { return part.sparse ? part.sparse->shape().block_bytes : 0; };
  const bool alike = std::all_of(parts_.begin(), parts_.end(),
                                 [&](const Part& part) { return grain(part) == grain(parts_[0]); });
  if (alike) info.cluster_size_bytes = grain(parts_[0]);
  info.needs_packed_writes = parts_[0].sparse->header().compressed();
  return info;
}

nlohmann::ordered_json VmdkImage::SpecificInfo() const {
  nlohmann::ordered_json data{{"cid", cid_.load()},
                              {"parent-cid", descriptor_.parent_cid},
                              {"create-type", descriptor_.create_type},
                              {"extents", nlohmann::ordered_json::array()}};
  for (const Part& part : parts_) {
    nlohmann::ordered_json extent;
    if (part.sparse && part.sparse->header().compressed()) extent["compressed"] = true;
    extent["virtual-size"] = part.size;
    extent["filename"] = FileOf(part)->filename();
    if (part.sparse) extent["cluster-size"] = part.sparse->shape().block_bytes;
    extent["format"] = part.type;
    data["extents"].push_back(std::move(extent));
  }
  return {{"type", "vmdk"}, {"data", std::move(data)}};
}

Result<CheckReport> VmdkImage::Check(const Repair& repair) {
  if (repair.leaks || repair.corruptions) return Fail(Code::kUnimplemented, "VMDK images cannot be repaired");
  CheckReport report;
  for (Part& part : parts_) {
    if (!part.sparse) continue;
    const uint64_t unit = part.sparse->shape().block_bytes, end = FileOf(part)->size_bytes();
    for (uint64_t block = 0; block < part.sparse->blocks();) {
      BlockPlace place;
      const uint64_t sector = (part.start + block * unit) / kSectorBytes;
      if (part.sparse->PlaceOf(block, &place) != 0) {
        report.messages.push_back(fmt::format("ERROR: could not get cluster_offset for sector {}", sector));
        report.corruptions = 1;
        return report;
      }
      const bool placed = place.kind == BlockPlace::Kind::kData || place.kind == BlockPlace::Kind::kPacked;
      if (placed && place.host >= end) {
        report.messages.push_back(fmt::format("ERROR: cluster offset after file size for sector {}", sector));
        report.corruptions = 1;
        report.failed_with = EINVAL;
        return report;
      }
      block += place.run;
    }
  }
  return report;
}

size_t VmdkImage::Pack(std::span<const uint8_t> cluster, std::span<uint8_t> out) const {
  if (parts_.size() != 1 || parts_[0].stream == nullptr) return 0;
  thread_local std::vector<uint8_t> packed;
  PackGrain(cluster, &packed);
  if (packed.size() > out.size()) return 0;
  std::copy(packed.begin(), packed.end(), out.begin());
  return packed.size();
}

int VmdkImage::WritePacked(uint64_t offset, std::span<const uint8_t> packed) {
  if (parts_.size() != 1 || parts_[0].stream == nullptr) return ENOTSUP;
  if (const int error = PrepareToChange(); error != 0) return error;
  return parts_[0].stream->WriteGrain(offset / parts_[0].sparse->shape().block_bytes, packed);
}

}  // namespace berth::block::vmdk

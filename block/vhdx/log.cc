#include "block/vhdx/log.h"

#include <algorithm>
#include <map>
#include <vector>

namespace berth::block::vhdx {
namespace {

constexpr size_t kLeading = 8, kTrailing = 4;  // Bytes of a sector that its descriptor holds.

struct Entry {
  uint64_t at = 0, bytes = 0;
  uint64_t tail = 0, sequence = 0;
  uint64_t last_file_bytes = 0;
};

class Replayer {
 public:
  Replayer(Image* file, const Header& header) : file_(file), header_(header), log_(header.log_bytes) {}

  Status Run() {
    if (const int error = Read(file_, header_.log_offset, log_); error != 0)
      return FailErrno(error, "read the log");
    FindEntries();
    const std::vector<Entry> sequence = ActiveSequence();
    for (const Entry& entry : sequence) TRY(Apply(entry));
    const int error = Flush(file_);
    return error == 0 ? Ok() : FailErrno(error, "replay the log");
  }

 private:
  uint8_t At(uint64_t place) const { return log_[place % log_.size()]; }
  std::vector<uint8_t> Copy(uint64_t place, uint64_t bytes) const {
    std::vector<uint8_t> copy(bytes);
    for (uint64_t i = 0; i < bytes; ++i) copy[i] = At(place + i);
    return copy;
  }

  // Every place at which a whole entry of this log is. Entries do not overlap in logs that anybody writes:
  // checksums of more than a few logs' length mean that it lies.
  void FindEntries() {
    uint64_t budget = 4 * log_.size();
    for (uint64_t at = 0; at < log_.size(); at += kLogSectorBytes) {
      const uint8_t* raw = &log_[at];
      const Entry entry{.at = at,
                        .bytes = LoadLe<uint32_t>(raw + 8),
                        .tail = LoadLe<uint32_t>(raw + 12),
                        .sequence = LoadLe<uint64_t>(raw + 16),
                        .last_file_bytes = LoadLe<uint64_t>(raw + 56)};
      if (LoadLe<uint32_t>(raw) != kLogSignature ||
          !std::equal(header_.log.begin(), header_.log.end(), raw + 32))
        continue;
      if (entry.bytes == 0 || entry.bytes % kLogSectorBytes != 0 || entry.bytes > log_.size()) continue;
      if (entry.tail % kLogSectorBytes != 0 || entry.tail >= log_.size() || entry.bytes > budget) continue;
      budget -= entry.bytes;
      if (LoadLe<uint32_t>(raw + 4) == Checksum(Copy(at, entry.bytes), 4)) entries_[at] = entry;
    }
  }

  // The newest entry, and those from its tail up to it, one behind the other.
  std::vector<Entry> ActiveSequence() const {
    std::vector<Entry> best;
    const auto newest = std::max_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
      return a.second.sequence < b.second.sequence;
    });
    if (newest == entries_.end()) return best;
    for (uint64_t at = newest->second.tail; best.size() <= entries_.size();) {
      const auto found = entries_.find(at);
      if (found == entries_.end()) return {};
      if (!best.empty() && found->second.sequence != best.back().sequence + 1) return {};
      best.push_back(found->second);
      if (at == newest->first) return best;
      at = (at + found->second.bytes) % log_.size();
    }
    return {};
  }

  Status Apply(const Entry& entry) {
    const std::vector<uint8_t> raw = Copy(entry.at, entry.bytes);
    const uint64_t count = LoadLe<uint32_t>(&raw[24]);
    const uint64_t head = AlignUp(kLogHeaderBytes + count * kDescriptorBytes, kLogSectorBytes);
    const auto bad = [] { return Fail(Code::kDataLoss, "an entry of the log is damaged"); };
    if (head > raw.size()) return bad();
    if (entry.last_file_bytes > INT64_MAX) return bad();
    uint64_t data = head;
    for (uint64_t i = 0; i < count; ++i) {
      const uint8_t* descriptor = &raw[kLogHeaderBytes + i * kDescriptorBytes];
      const auto kind = LoadLe<uint32_t>(descriptor);
      const auto offset = LoadLe<uint64_t>(descriptor + 16);
      if (LoadLe<uint64_t>(descriptor + 24) != entry.sequence || offset % kLogSectorBytes != 0) return bad();
      int error = 0;
      if (kind == kZeroDescriptor) {
        const auto length = LoadLe<uint64_t>(descriptor + 8);
        if (offset > INT64_MAX || length > INT64_MAX - offset || length % kLogSectorBytes != 0) return bad();
        // Behind the file's end everything is zero as it is.
        const uint64_t end = std::min(offset + length, file_->size_bytes());
        if (offset < end) error = WriteZeroes(file_, offset, end - offset, true);
      } else if (kind == kDataDescriptor) {
        if (raw.size() - data < kLogSectorBytes || offset > INT64_MAX - kLogSectorBytes) return bad();
        const uint8_t* sector = &raw[data];
        const uint64_t sequence =
            uint64_t{LoadLe<uint32_t>(sector + 4)} << 32 | LoadLe<uint32_t>(sector + kLogSectorBytes - 4);
        if (LoadLe<uint32_t>(sector) != kDataSector || sequence != entry.sequence) return bad();
        std::vector<uint8_t> content(sector, sector + kLogSectorBytes);
        std::copy_n(descriptor + 8, kLeading, content.begin());
        std::copy_n(descriptor + 4, kTrailing, content.end() - kTrailing);
        error = Write(file_, offset, content);
        data += kLogSectorBytes;
      } else {
        return bad();
      }
      if (error != 0) return FailErrno(error, "replay the log");
    }
    // The file was as long as this; a sparse end is as good.
    if (file_->size_bytes() < entry.last_file_bytes &&
        entry.last_file_bytes <= file_->size_bytes() + kMaxGrowth) {
      return file_->Resize(entry.last_file_bytes, Preallocation::kOff);
    }
    return Ok();
  }

  static constexpr uint64_t kMaxGrowth = 1024 * kGiB;

  Image* const file_;
  const Header& header_;
  std::vector<uint8_t> log_;
  std::map<uint64_t, Entry> entries_;
};

}  // namespace

Status ReplayLog(Image* file, const Header& header) {
  if (header.log_bytes == 0) return Fail(Code::kDataLoss, "the image refers to a log that it does not have");
  return Replayer(file, header).Run();
}

size_t SectorsOfEntry(uint64_t log_bytes) {
  // One sector of descriptors, which has room for 126.
  constexpr uint64_t kMost = (kLogSectorBytes - kLogHeaderBytes) / kDescriptorBytes;
  return std::min(kMost, log_bytes / 2 / kLogSectorBytes - 1);
}

std::vector<uint8_t> MakeLogEntry(std::span<const DirtySlice> sectors, const Guid& log, uint64_t sequence,
                                  uint64_t place, uint64_t file_bytes) {
  std::vector<uint8_t> raw((1 + sectors.size()) * kLogSectorBytes);
  StoreLe<uint32_t>(&raw[0], kLogSignature);
  StoreLe<uint32_t>(&raw[8], static_cast<uint32_t>(raw.size()));
  StoreLe<uint32_t>(&raw[12],
                    static_cast<uint32_t>(place));  // The tail: nothing before it is needed any more.
  StoreLe<uint64_t>(&raw[16], sequence);
  StoreLe<uint32_t>(&raw[24], static_cast<uint32_t>(sectors.size()));
  std::copy(log.begin(), log.end(), raw.begin() + 32);
  StoreLe<uint64_t>(&raw[48], file_bytes);
  StoreLe<uint64_t>(&raw[56], file_bytes);
  for (size_t i = 0; i < sectors.size(); ++i) {
    const std::vector<uint8_t>& content = sectors[i].bytes;
    uint8_t* descriptor = &raw[kLogHeaderBytes + i * kDescriptorBytes];
    StoreLe<uint32_t>(descriptor, kDataDescriptor);
    std::copy_n(content.end() - kTrailing, kTrailing, descriptor + 4);
    std::copy_n(content.begin(), kLeading, descriptor + 8);
    StoreLe<uint64_t>(descriptor + 16, sectors[i].offset);
    StoreLe<uint64_t>(descriptor + 24, sequence);
    uint8_t* sector = &raw[(1 + i) * kLogSectorBytes];
    std::copy(content.begin(), content.end(), sector);
    StoreLe<uint32_t>(sector, kDataSector);
    StoreLe<uint32_t>(sector + 4, static_cast<uint32_t>(sequence >> 32));
    StoreLe<uint32_t>(sector + kLogSectorBytes - 4, static_cast<uint32_t>(sequence));
  }
  StoreLe<uint32_t>(&raw[4], Checksum(raw, 4));
  return raw;
}

}  // namespace berth::block::vhdx

#include "block/vhdx/image.h"

#include <algorithm>
#include <cerrno>

#include "block/vhdx/log.h"

namespace berth::block::vhdx {

VhdxStore::VhdxStore(Image* file, const Layout& layout, const Header& header, bool writable)
    : MappedStore(file, nullptr, 0,
                  {.size_bytes = layout.disk_bytes,
                   .block_bytes = layout.block_bytes,
                   .data_from = kUnit,
                   .writable = writable,
                   .absent_is_own = true,
                   .slice_bytes = kLogSectorBytes}),
      layout_(layout),
      header_(header) {}

int VhdxStore::Lookup(uint64_t block, BlockPlace* place) {
  uint8_t* raw = nullptr;
  if (const int error = LoadEntry(layout_.EntryOf(block), &raw); error != 0) return error;
  const auto entry = LoadLe<uint64_t>(raw);
  *place = {};
  switch (entry & kStateMask) {
    case kPresent:
      *place = {.kind = BlockPlace::Kind::kData, .host = entry & kOffsetMask};
      return place->host < kUnit || place->host > INT64_MAX ? EIO : 0;
    case kNotPresent:
    case kUndefined:
    case kZero:
    case kUnmapped:
      return 0;
    default:
      return EIO;  // Only disks with parents have blocks in part.
  }
}

int VhdxStore::Allocate(uint64_t, uint64_t wanted, uint64_t* host, uint64_t* got) {
  *host = AppendAt(kUnit);
  *got = wanted;
  if (*host > INT64_MAX - wanted * layout_.block_bytes) return EFBIG;
  SetEnd(*host + wanted * layout_.block_bytes);
  return 0;
}

int VhdxStore::Link(uint64_t block, const BlockPlace& place) {
  uint8_t* raw = nullptr;
  const uint64_t at = layout_.EntryOf(block);
  if (const int error = LoadEntry(at, &raw); error != 0) return error;
  StoreLe<uint64_t>(raw, place.host | kPresent);
  MarkEntryDirty(at);
  return 0;
}

int VhdxStore::PrepareToChange() {
  MutexLock lock(header_mutex_);
  if (changed_) return 0;
  header_.file_write = RandomGuid();
  header_.data_write = RandomGuid();
  if (!WriteHeader(file(), &header_)) return EIO;
  changed_ = true;
  return 0;
}

// Each entry is alone in its half of the log, so that the one before it is whole until it is itself, and each
// has been carried out before the next.
int VhdxStore::StoreTables(std::span<const TableWrite> writes) {
  MutexLock lock(header_mutex_);
  const size_t most = header_.log_bytes == 0 ? 0 : SectorsOfEntry(header_.log_bytes);
  if (most == 0) return EIO;
  for (size_t done = 0; done < writes.size();) {
    const auto now = writes.subspan(done, std::min(most, writes.size() - done));
    done += now.size();
    const Guid log = header_.has_log() ? header_.log : RandomGuid();
    const uint64_t place = log_sequence_++ % 2 * (header_.log_bytes / 2);
    const auto entry = MakeLogEntry(now, log, log_sequence_, place, AlignDown(file()->size_bytes(), kUnit));
    if (const int error = Write(file(), header_.log_offset + place, entry); error != 0) return error;
    if (const int error = block::Flush(file()); error != 0) return error;
    if (!header_.has_log()) {
      header_.log = log;
      if (!WriteHeader(file(), &header_)) return EIO;
    }
    if (const int error = MappedStore::StoreTables(now); error != 0) return error;
  }
  return 0;
}

void VhdxStore::Close() {
  if (Flush() != 0) return;  // What is in the log is needed.
  MutexLock lock(header_mutex_);
  if (!header_.has_log()) return;
  header_.log = {};
  (void)WriteHeader(file(), &header_);
}

VhdxImage::VhdxImage(std::unique_ptr<Image> file, const Layout& layout, const Header& header, bool writable,
                     bool replayed)
    : FormatImage(std::move(file)),
      layout_(layout),
      replayed_(replayed),
      store_(this->file(), layout, header, writable),
      limits_(this->file()->limits()) {
  limits_.read_only |= !writable;
}

VhdxImage::~VhdxImage() {
  if (!limits_.read_only) store_.Close();
}

int VhdxImage::Perform(const Request& request) {
  if (const int error = CheckRequest(request, size_bytes(), limits_.read_only); error != 0) return error;
  if (request.op == Op::kWrite || request.op == Op::kWriteZeroes) {
    if (const int error = store_.PrepareToChange(); error != 0) return error;
  }
  return store_.Perform(request);
}

Result<CheckReport> VhdxImage::Check(const Repair&) {
  CheckReport report;
  report.corruptions_fixed = replayed_;
  const uint64_t end = file()->size_bytes();
  for (uint64_t block = 0; block < layout_.blocks(); ++block) {
    BlockPlace place;
    if (store_.PlaceOf(block, &place) == 0 && (place.kind != BlockPlace::Kind::kData || place.host < end))
      continue;
    ++report.corruptions;
    if (report.messages.size() == kMaxCheckMessages) continue;
    report.messages.push_back(fmt::format(
        "VHDX BAT entry {} offset {} points after end of file. Image has probably been truncated.", block,
        place.host));
  }
  return report;
}

Result<std::unique_ptr<FormatImage>> Open(OpenContext* context) {
  Image* const file = context->file.get();
  uint8_t signature[8] = {};
  if (Read(file, 0, signature) != 0 || !std::equal(kFileSignature.begin(), kFileSignature.end(), signature)) {
    return FailErrno(EINVAL, "Could not open '{}'", file->filename());
  }
  Header header = TRY(ReadHeader(file));
  const bool replay = header.has_log();
  if (replay) {
    if (!context->flags.writable) {
      return Fail(Code::kFailedPrecondition,
                  "VHDX image file '{}' opened read-only, but contains a log that needs to be replayed\nTo "
                  "replay the "
                  "log, run:\nqemu-img check -r all '{}'",
                  file->filename(), file->filename());
    }
    TRY(ReplayLog(file, header));
    header.log = {};
    TRY(WriteHeader(file, &header));
  }
  const Layout layout = TRY(ReadLayout(file));
  return std::make_unique<VhdxImage>(std::move(context->file), layout, header, context->flags.writable,
                                     replay);
}

}  // namespace berth::block::vhdx

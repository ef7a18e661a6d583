// Persistent bitmaps of an image: read when they are needed, marked by writes, written when the image is
// closed. docs/block.md says why a crash can make a bitmap unusable but not wrong.
#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/log.h"
#include "block/qcow2/image.h"

namespace berth::block::qcow2 {
namespace {

constexpr uint64_t kExtensionBytes = 24;
constexpr uint64_t kAllOnes = 1;  // A table entry without a cluster.
// Of all pages of a bitmap on the disk, and of all bitmaps' in memory.
constexpr uint64_t kMaxBitmapBytes = 512u << 20;

std::vector<Extension>::iterator BitmapExtension(Header* header) {
  return std::find_if(header->unknown_extensions.begin(), header->unknown_extensions.end(),
                      [](const Extension& extension) { return extension.type == kExtensionBitmaps; });
}

bool AllAre(std::span<const uint8_t> bytes, uint8_t value) {
  return std::all_of(bytes.begin(), bytes.end(), [value](uint8_t byte) { return byte == value; });
}

}  // namespace

// What cannot be read is as if there were no bitmaps: the first write then says that they are not consistent.
void Qcow2Image::LoadBitmapDirectory() {
  MutexLock lock(mutex_);
  const auto extension = BitmapExtension(&header_);
  if (extension == header_.unknown_extensions.end() || extension->data.size() < kExtensionBytes ||
      (header_.autoclear & kBitmapsConsistent) == 0) {
    return;
  }
  const uint32_t count = LoadBe<uint32_t>(&extension->data[0]);
  const uint64_t bytes = LoadBe<uint64_t>(&extension->data[8]),
                 offset = LoadBe<uint64_t>(&extension->data[16]);
  if (count > kMaxBitmaps || bytes > kMaxBitmapDirectoryBytes || offset >= file()->size_bytes()) return;
  std::vector<uint8_t> raw(bytes);
  if (Read(file(), offset, raw) != 0) return;
  auto bitmaps = DecodeBitmapDirectory(raw, count);
  if (!bitmaps) {
    LOG_WARNING("{}: {}", filename(), bitmaps.error().message());
    return;
  }
  bitmaps_ = *std::move(bitmaps);
  bitmap_directory_ = {offset, bytes};
  has_bitmaps_ = true;
}

Status Qcow2Image::LoadBitmap(Bitmap* bitmap) {
  if (bitmap->loaded) return Ok();
  const uint64_t cluster = header_.cluster_bytes(), pages = bitmap->PageCount(size_, cluster);
  if (pages > kMaxBitmapBytes / cluster || bitmap->table_entries > pages ||
      !IsAligned(bitmap->table_offset, cluster) || bitmap->table_offset >= kMaxHostOffset) {
    return Fail(Code::kDataLoss, "the table of bitmap '{}' is broken", bitmap->info.name);
  }
  if (!CountBitmap(bitmap))
    return Fail(Code::kResourceExhausted, "too much memory is taken by bitmap '{}' and others",
                bitmap->info.name);
  std::vector<uint8_t> table(uint64_t{bitmap->table_entries} * 8);
  TRY(ToStatus(Read(file(), bitmap->table_offset, table), "read a bitmap's table"));
  for (uint64_t i = 0; i < bitmap->table_entries; ++i) {
    const auto entry = LoadBe<uint64_t>(&table[i * 8]);
    const uint64_t place = entry & kOffsetMask;
    if (entry == 0) continue;
    if (place == 0 && entry == kAllOnes) {
      bitmap->pages[i].assign(cluster, 0xff);
    } else if (entry == place && IsAligned(place, cluster)) {
      std::vector<uint8_t>& page = bitmap->pages[i];
      page.resize(cluster);
      TRY(ToStatus(Read(file(), place, page), "read a bitmap"));
    } else {
      return Fail(Code::kDataLoss, "the table of bitmap '{}' is broken", bitmap->info.name);
    }
  }
  bitmap->Cut(size_, cluster);
  bitmap->loaded = true;
  return Ok();
}

// Once for each that is in memory; false if there is no room for it any more.
bool Qcow2Image::CountBitmap(Bitmap* bitmap) {
  if (bitmap->counted_bytes != 0) return true;
  const uint64_t cluster = header_.cluster_bytes(), bytes = bitmap->PageCount(size_, cluster) * cluster;
  if (bytes > kMaxBitmapBytes - bitmap_bytes_) return false;
  bitmap_bytes_ += bitmap->counted_bytes = bytes;
  return true;
}

// Before the first change of the disk: those that record say so on the disk, and are in memory.
Status Qcow2Image::BeginRecording() {
  bool any = false;
  for (Bitmap& bitmap : bitmaps_) {
    if (!bitmap.info.enabled || bitmap.info.inconsistent) continue;
    if (const Status loaded = LoadBitmap(&bitmap); !loaded) {
      LOG_WARNING("{}: {}", filename(), loaded.error().message());
      bitmap.pages.clear();
      bitmap.info.inconsistent = true;
    }
    any = true;
  }
  if (!any || bitmap_directory_.size == 0) return Ok();
  // In place, and as it is there: what differs are flags alone. What was added since is not on the disk yet.
  std::vector<uint8_t> raw(bitmap_directory_.size);
  TRY(ToStatus(Read(file(), bitmap_directory_.start, raw), "read the bitmaps' directory"));
  const uint32_t count = LoadBe<uint32_t>(&BitmapExtension(&header_)->data[0]);
  const std::vector<uint8_t> directory = EncodeBitmapDirectory(TRY(DecodeBitmapDirectory(raw, count)), true);
  if (directory.size() > raw.size()) return Fail(Code::kDataLoss, "Broken bitmap directory");
  TRY(ToStatus(Write(file(), bitmap_directory_.start, directory), "mark the bitmaps as in use"));
  recording_ = true;
  return ToStatus(Flush(file()), "mark the bitmaps as in use");
}

void Qcow2Image::RecordWrite(uint64_t offset, uint64_t length) {
  MutexLock lock(mutex_);
  MarkBitmaps(offset, length);
}

void Qcow2Image::MarkBitmaps(uint64_t offset, uint64_t length) {
  for (Bitmap& bitmap : bitmaps_) {
    if (bitmap.info.enabled && !bitmap.info.inconsistent) {
      bitmap.Mark({offset, length}, size_, header_.cluster_bytes());
    }
  }
}

Bitmap* Qcow2Image::FindBitmap(std::string_view name) {
  const auto found = std::find_if(bitmaps_.begin(), bitmaps_.end(),
                                  [name](const Bitmap& bitmap) { return bitmap.info.name == name; });
  return found == bitmaps_.end() ? nullptr : &*found;
}

Result<Bitmap*> Qcow2Image::UsableBitmap(std::string_view name) {
  Bitmap* bitmap = FindBitmap(name);
  if (bitmap == nullptr) return Fail(Code::kNotFound, "Dirty bitmap '{}' not found", name);
  if (bitmap->info.inconsistent) {
    return Fail(
        Code::kFailedPrecondition,
        "Bitmap '{}' is inconsistent and cannot be used\nTry block-dirty-bitmap-remove to delete this "
        "bitmap from disk",
        name);
  }
  TRY(LoadBitmap(bitmap));
  return bitmap;
}

bool Qcow2Image::CanHaveBitmaps() const { return header_.version >= 3; }

std::vector<BitmapInfo> Qcow2Image::Bitmaps() {
  MutexLock lock(mutex_);
  std::vector<BitmapInfo> all;
  for (const Bitmap& bitmap : bitmaps_) all.push_back(bitmap.info);
  return all;
}

Status Qcow2Image::AddBitmap(const BitmapInfo& info) {
  const uint64_t granularity = info.granularity_bytes;
  if (!IsPowerOfTwo(granularity) || granularity < kMinBitmapGranularity) {
    return Fail(Code::kInvalidArgument, "Granularity must be power of 2 and at least 512");
  }
  if (info.name.empty()) return Fail(Code::kInvalidArgument, "Bitmap name cannot be empty");
  MutexLock lock(mutex_);
  if (FindBitmap(info.name) != nullptr) {
    return Fail(Code::kAlreadyExists, "Bitmap already exists: {}", info.name);
  }
  const auto refuse = [&](std::string_view why) {
    return Fail(Code::kInvalidArgument, "Can't make bitmap '{}' persistent in '{}': {}", info.name,
                filename(), why);
  };
  if (header_.version < 3) return refuse("Cannot store dirty bitmaps in qcow2 v2 files");
  if (granularity > kMaxBitmapGranularity) return refuse("Granularity exceeds maximum (2147483648 bytes)");
  if (info.name.size() > kMaxBackingNameBytes) return refuse("Name length exceeds maximum (1023 characters)");
  if (bitmaps_.size() >= kMaxBitmaps)
    return refuse("Maximum number of persistent bitmaps is already reached");
  Bitmap bitmap{.info = info, .loaded = true, .changed = true};
  if (!CountBitmap(&bitmap)) return refuse("Too much space will be occupied by the bitmap");
  bitmaps_.push_back(std::move(bitmap));
  has_bitmaps_ = true;
  return Ok();
}

Status Qcow2Image::RemoveBitmap(std::string_view name) {
  MutexLock lock(mutex_);
  Bitmap* bitmap = FindBitmap(name);
  if (bitmap == nullptr) return Fail(Code::kNotFound, "Dirty bitmap '{}' not found", name);
  TRY(ReleaseBitmapTable(*bitmap));
  bitmap_bytes_ -= bitmap->counted_bytes;
  bitmaps_.erase(bitmaps_.begin() + (bitmap - bitmaps_.data()));
  bitmaps_changed_ = true;
  return Ok();
}

Status Qcow2Image::ClearBitmap(std::string_view name) {
  MutexLock lock(mutex_);
  Bitmap* bitmap = TRY(UsableBitmap(name));
  bitmap->pages.clear();
  bitmap->changed = true;
  return Ok();
}

Status Qcow2Image::EnableBitmap(std::string_view name, bool enabled) {
  MutexLock lock(mutex_);
  Bitmap* bitmap = TRY(UsableBitmap(name));
  bitmap->info.enabled = enabled;
  bitmaps_changed_ = true;
  return Ok();
}

Result<std::vector<Range>> Qcow2Image::DirtyRanges(std::string_view name) {
  MutexLock lock(mutex_);
  const Bitmap* bitmap = TRY(UsableBitmap(name));
  return bitmap->Dirty(size_, header_.cluster_bytes());
}

Status Qcow2Image::MarkDirty(std::string_view name, const std::vector<Range>& ranges) {
  MutexLock lock(mutex_);
  Bitmap* bitmap = TRY(UsableBitmap(name));
  for (const Range& range : ranges) bitmap->Mark(range, size_, header_.cluster_bytes());
  bitmap->changed = true;
  return Ok();
}

// All are written anew, for the size they have then.
Status Qcow2Image::PrepareBitmapsToResize() {
  MutexLock lock(mutex_);
  for (Bitmap& bitmap : bitmaps_) {
    if (bitmap.info.inconsistent) {
      return Fail(Code::kFailedPrecondition,
                  "Cannot resize: the bitmap '{}' is inconsistent; remove it before", bitmap.info.name);
    }
    TRY(LoadBitmap(&bitmap));
    bitmap.changed = true;
  }
  return Ok();
}

// What the bitmap has on the disk is uncounted after the next flush.
Status Qcow2Image::ReleaseBitmapTable(const Bitmap& bitmap) {
  if (bitmap.table_entries == 0) return Ok();
  const uint64_t bytes = uint64_t{bitmap.table_entries} * 8;
  if (bytes > kMaxBitmapTableBytes || bitmap.table_offset >= kMaxHostOffset) {
    return Fail(Code::kDataLoss, "the table of bitmap '{}' is broken", bitmap.info.name);
  }
  std::vector<uint8_t> table(bytes);
  TRY(ToStatus(Read(file(), bitmap.table_offset, table), "read a bitmap's table"));
  for (uint64_t at = 0; at < bytes; at += 8) {
    const uint64_t place = LoadBe<uint64_t>(&table[at]) & kOffsetMask;
    if (place != 0) pending_bitmap_release_.push_back({place, header_.cluster_bytes()});
  }
  pending_bitmap_release_.push_back({bitmap.table_offset, bytes});
  return Ok();
}

// Its bits in new clusters, and a table of those in others.
Status Qcow2Image::WriteBitmap(Bitmap* bitmap) {
  const uint64_t cluster = header_.cluster_bytes(), pages = bitmap->PageCount(size_, cluster);
  TRY(ReleaseBitmapTable(*bitmap));
  std::vector<uint8_t> table(pages * 8);
  bitmap->Cut(size_, cluster);
  for (const auto& [index, page] : bitmap->pages) {
    if (AllAre(page, 0)) continue;
    uint64_t place = kAllOnes;
    if (!AllAre(page, 0xff)) {
      uint64_t clusters = 0;
      bool fresh = false;
      TRY(ToStatus(AllocateClusters(1, true, &place, &clusters, &fresh), "find room for a bitmap"));
      l2_.Drop(place, cluster);
      TRY(ToStatus(Write(file(), place, page), "write a bitmap"));
    }
    StoreBe<uint64_t>(&table[index * 8], place);
  }
  uint64_t clusters = 0;
  bool fresh = false;
  bitmap->table_offset = 0;
  bitmap->table_entries = static_cast<uint32_t>(pages);
  if (pages != 0) {
    const uint64_t wanted = (table.size() + cluster - 1) / cluster;
    TRY(ToStatus(AllocateClusters(wanted, true, &bitmap->table_offset, &clusters, &fresh),
                 "find room for a bitmap"));
    l2_.Drop(bitmap->table_offset, clusters * cluster);
    TRY(ToStatus(Write(file(), bitmap->table_offset, table), "write a bitmap's table"));
  }
  bitmap->changed = false;
  return Ok();
}

// The header says that the bitmaps cannot be relied on while it is told of the new directory.
Status Qcow2Image::SwitchBitmapDirectory(std::span<const uint8_t> directory, uint64_t place) {
  MutexLock lock(mutex_);
  Header changed = header_;
  changed.autoclear &= ~kBitmapsConsistent;
  if (changed.autoclear != header_.autoclear) TRY(WriteHeader(changed));
  const auto old = BitmapExtension(&changed);
  if (old != changed.unknown_extensions.end()) changed.unknown_extensions.erase(old);
  if (!directory.empty()) {
    Extension extension{.type = kExtensionBitmaps, .data = std::vector<uint8_t>(kExtensionBytes)};
    StoreBe<uint32_t>(&extension.data[0], static_cast<uint32_t>(bitmaps_.size()));
    StoreBe<uint64_t>(&extension.data[8], directory.size());
    StoreBe<uint64_t>(&extension.data[16], place);
    changed.unknown_extensions.push_back(std::move(extension));
  }
  TRY(WriteHeader(changed));
  if (!directory.empty()) {
    changed.autoclear |= kBitmapsConsistent;
    TRY(WriteHeader(changed));
  }
  if (bitmap_directory_.size != 0) released_.push_back(bitmap_directory_);
  released_.insert(released_.end(), pending_bitmap_release_.begin(), pending_bitmap_release_.end());
  pending_bitmap_release_.clear();
  bitmap_directory_ = {place, directory.size()};
  bitmaps_changed_ = recording_ = false;
  prepared_ = false;  // The next change marks them as in use again.
  return Ok();
}

Status Qcow2Image::StoreBitmaps() {
  if (limits_.read_only) return Ok();
  std::vector<uint8_t> directory;
  {
    MutexLock lock(mutex_);
    const bool changed =
        std::any_of(bitmaps_.begin(), bitmaps_.end(), [](const Bitmap& one) { return one.changed; });
    if (!changed && !bitmaps_changed_ && !recording_) return Ok();
    for (Bitmap& bitmap : bitmaps_) {
      if (bitmap.changed && !bitmap.info.inconsistent) TRY(WriteBitmap(&bitmap));
    }
    directory = EncodeBitmapDirectory(bitmaps_, false);
  }
  const uint64_t place = TRY(WriteNewClusters(directory));
  TRY(SwitchBitmapDirectory(directory, place));
  return ToStatus(Settle(), "write the bitmaps");
}

}  // namespace berth::block::qcow2

#include "server/volume/volume_bitmaps.h"

#include <algorithm>

#include "block/bitmap.h"
#include "block/layers.h"
#include "server/volume/running_user.h"
#include "server/volume/volume_chain.h"
#include "server/volume/volume_facts.h"

namespace berth::server {
namespace {

// Each is in the monitor's memory while the guest writes: 2 MiB for a TiB, of the usual granularity.
constexpr size_t kMaxVolumeBitmaps = 16;
constexpr const char* kVerb = "bitmap";

Error AboutBitmap(Code code, const char* reason, const std::string& resource, std::string message) {
  return Error(code, std::move(message)).Reason(reason).With("resource", resource);
}

v1::VolumeBitmap Shown(const BitmapName& name, uint64_t granularity_bytes, bool inconsistent,
                       uint64_t dirty_bytes) {
  v1::VolumeBitmap shown;
  shown.set_name(name.ToString());
  shown.set_granularity_bytes(
      static_cast<int64_t>(std::min(granularity_bytes, block::kMaxBitmapGranularity)));
  shown.set_inconsistent(inconsistent);
  shown.set_dirty_bytes(static_cast<int64_t>(std::min(dirty_bytes, kMaxVolumeBytes)));
  return shown;
}

// An image that no guest writes to. CanHaveBitmaps.
struct Opened {
  std::unique_ptr<block::FormatImage> image;
  block::BitmapStore* bitmaps = nullptr;
};
Result<Opened> OpenBitmaps(const VolumePool& directory, const std::string& volume, bool writable) {
  auto image = TRY(block::OpenLayers(TRY(OpenVolumeChain(directory, volume, {.writable = writable})),
                                     {.writable = writable}));
  auto* const bitmaps = dynamic_cast<block::BitmapStore*>(image.get());
  if (bitmaps != nullptr && bitmaps->CanHaveBitmaps()) return Opened{std::move(image), bitmaps};
  const std::string name = directory.NameOf(volume);
  return Fail(
      AboutBitmap(Code::kUnimplemented, "BITMAPS_NOT_SUPPORTED", name,
                  fmt::format("{} is no qcow2 image of version 3, and has no room for bitmaps", name)));
}

// All that there are.
Result<std::vector<v1::VolumeBitmap>> ReadAll(Engine& engine, const VolumePool& directory,
                                              const std::string& volume) {
  const VolumeName of{.pool = directory.pool(), .id = volume};
  std::vector<v1::VolumeBitmap> all;
  if (const auto user = FindRunningUser(engine.book, of.ToString())) {
    control::Request request;
    request.mutable_read_bitmaps()->set_id(user->disk_id);
    const control::Reply reply = TRY(AskMonitor(engine, *user, kVerb, std::move(request)));
    for (const auto& bitmap : reply.bitmaps().bitmaps()) {
      all.push_back(Shown({.volume = of, .id = bitmap.name()}, bitmap.granularity_bytes(),
                          bitmap.inconsistent(), bitmap.dirty_bytes()));
    }
    return all;
  }
  const Opened opened = TRY(OpenBitmaps(directory, volume, /*writable=*/false));
  for (const block::BitmapInfo& info : opened.bitmaps->Bitmaps()) {
    all.push_back(Shown({.volume = of, .id = info.name}, info.granularity_bytes, info.inconsistent,
                        TRY(block::DirtyBytes(opened.bitmaps, info))));
  }
  return all;
}

bool Has(const std::vector<v1::VolumeBitmap>& all, const BitmapName& name) {
  return std::any_of(all.begin(), all.end(), [&](const auto& one) { return one.name() == name.ToString(); });
}

// By the monitor of the guest that writes to the volume, or here.
Status Change(Engine& engine, const VolumePool& directory, const VolumeName& volume,
              control::ChangeBitmap change) {
  if (const auto user = FindRunningUser(engine.book, volume.ToString())) {
    control::Request request;
    change.set_id(user->disk_id);
    *request.mutable_change_bitmap() = std::move(change);
    TRY(AskMonitor(engine, *user, kVerb, std::move(request)));
    return Ok();
  }
  const Opened opened = TRY(OpenBitmaps(directory, volume.id, /*writable=*/true));
  if (change.remove()) {
    TRY(opened.bitmaps->RemoveBitmap(change.name()));
  } else {
    TRY(opened.bitmaps->AddBitmap({.name = change.name(), .granularity_bytes = change.granularity_bytes()}));
  }
  return opened.bitmaps->StoreBitmaps();
}

}  // namespace

Result<std::vector<v1::VolumeBitmap>> ShowBitmaps(Engine& engine, const VolumePool& directory,
                                                  const std::string& volume) {
  std::vector<v1::VolumeBitmap> all = TRY(ReadAll(engine, directory, volume));
  std::erase_if(all, [](const auto& one) { return !BitmapName::Parse(one.name()); });
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name() < b.name(); });
  return all;
}

Status CreateBitmap(Engine& engine, const VolumePool& directory, const BitmapName& name,
                    uint64_t granularity_bytes) {
  const std::vector<v1::VolumeBitmap> all = TRY(ReadAll(engine, directory, name.volume.id));
  if (Has(all, name)) {
    return Fail(AboutBitmap(Code::kAlreadyExists, "BITMAP_EXISTS", name.ToString(),
                            fmt::format("there is a bitmap {} already", name.ToString())));
  }
  if (all.size() >= kMaxVolumeBitmaps) {
    return Fail(AboutBitmap(Code::kResourceExhausted, "TOO_MANY_BITMAPS", name.volume.ToString(),
                            fmt::format("{} has {} bitmaps already: delete those of backups that are over",
                                        name.volume.ToString(), all.size())));
  }
  control::ChangeBitmap change;
  change.set_name(name.id);
  change.set_granularity_bytes(granularity_bytes);
  return Change(engine, directory, name.volume, std::move(change));
}

Status DeleteBitmap(Engine& engine, const VolumePool& directory, const BitmapName& name) {
  if (!Has(TRY(ReadAll(engine, directory, name.volume.id)), name)) {
    return Fail(AboutBitmap(Code::kNotFound, "BITMAP_NOT_FOUND", name.ToString(),
                            fmt::format("there is no bitmap {}", name.ToString())));
  }
  control::ChangeBitmap change;
  change.set_name(name.id);
  change.set_remove(true);
  return Change(engine, directory, name.volume, std::move(change));
}

}  // namespace berth::server

#include "server/guest/disk_change.h"

#include <fcntl.h>

#include <algorithm>

#include <google/protobuf/util/time_util.h>

#include "base/log.h"
#include "mdev/mdev.h"
#include "server/guest/device_spec_check.h"
#include "server/guest/mirror_mark.h"
#include "server/guest/open_descriptors.h"
#include "server/guest/running_vmm.h"
#include "server/volume/pools.h"
#include "server/volume/volume_chain.h"
#include "server/volume/volume_facts.h"

namespace berth::server {
namespace {

// Writing back what an image has in memory, and reading the tables of those that it is to stand on.
constexpr std::chrono::seconds kHandOverTimeout{60};

tl::unexpected<Error> BadDisk(Code code, const char* reason, const v1::Guest& guest, std::string message) {
  return Fail(Error(code, std::move(message)).Reason(reason).With("resource", guest.name()).Field("disk_id"));
}

// Nothing if the guest has no such disk (any more).
std::optional<int> IndexOf(const v1::GuestSpec& spec, const std::string& disk_id) {
  for (int i = 0; i < spec.disks_size(); ++i) {
    if (DiskId(spec, i) == disk_id) return i;
  }
  return std::nullopt;
}

// Whether there is a VMM, and it says that the disk is what it is to become.
Result<bool> VmmHas(GuestEntry& guest, const v1::PendingDiskChange& change) {
  const std::shared_ptr<Vmm> vmm = guest.GetVmm();
  if (!vmm) return false;
  control::Request describe;
  describe.mutable_describe();
  const control::Reply reply = TRY(vmm->Call(std::move(describe)));
  const auto& devices = reply.description().machine().devices();
  const auto is_it = [&](const std::string& id, const control::BlockDevice& disk) {
    return id == change.disk_id() && disk.volume() == change.volume();
  };
  return std::any_of(devices.begin(), devices.end(), [&](const control::DeviceConfig& device) {
    const auto& units = device.scsi().units();
    return is_it(device.id(), device.block()) ||
           std::any_of(units.begin(), units.end(),
                       [&](const control::ScsiUnit& unit) { return is_it(unit.id(), unit.disk()); });
  });
}

Result<std::optional<VolumeFile>> FindAny(const VolumePool& directory, const std::string& volume) {
  auto found = directory.Find(volume);
  if (!found && found.error().code() == Code::kNotFound) return std::nullopt;
  return std::optional(TRY(std::move(found)));
}

// A guest may not believe that it has it: whoever does has it locked.
Status RemoveUnused(const VolumePool& directory, const VolumeFile& file) {
  UniqueFd fd = TRY(directory.OpenVolume(file, O_RDWR));
  TRY(LockVolume(directory, file, fd.get(), {.read = false, .write = true, .resize = true}));
  TRY(CheckNoDependents(directory, file.id, "removed"));
  return directory.Remove(file, std::move(fd));
}

// A change that is on record, and what the VMM says of it.
struct Settling {
  GuestEntry& guest;
  const VolumePool& directory;
  const VolumeDisk& disk;
  std::string becomes;  // The id of a volume of the same pool.
  bool has_vmm = false, vmm_has_it = false;
};

// To a new volume that stands on what the disk is. Whether that is what the disk is now, here as below.
Result<bool> SettleSnapshot(const Settling& settling) {
  if (settling.vmm_has_it) return true;
  const auto made = TRY(FindAny(settling.directory, settling.becomes));
  const bool ours = made && made->base == settling.disk.volume.id;
  if (ours && settling.has_vmm) TRY(RemoveUnused(settling.directory, *made));
  return ours && !settling.has_vmm;
}

// To what the disk stands on. What it is shows the same until it is removed, which is the last that is done.
Result<bool> SettleCommit(const Settling& settling, const std::optional<VolumeFile>& is) {
  const VolumeDisk& disk = settling.disk;
  if (settling.vmm_has_it && is) TRY(RemoveUnused(settling.directory, *is));
  if (settling.vmm_has_it || !is) return true;
  if (settling.has_vmm) {
    // The one beneath is only read again.
    TRY(HandOver(settling.guest, disk, disk.volume,
                 TRY(OpenVolumeChain(settling.directory, disk.volume.id,
                                     {.writable = true, .direct = disk.direct, .taken_over_from = 0}))));
  }
  return false;
}

// To standing alone, as the image says first and its file's name then.
Result<bool> SettleStream(const Settling& settling, const std::optional<VolumeFile>& is) {
  if (!is || is->base.empty()) return true;
  if (TRY(HasBacking(settling.directory, *is))) return false;
  TRY(settling.directory.Rename(*is, {.id = is->id, .base = "", .format = is->format}));
  return true;
}

// To a copy of what it shows, which both were alike when the mark was set.
Result<bool> SettleMirror(const Settling& settling, MirrorMark::State mark) {
  if (settling.vmm_has_it) return true;
  const auto made = TRY(FindAny(settling.directory, settling.becomes));
  if (mark == MirrorMark::State::kNone || !made) return false;  // A volume of this name is another.
  if (mark == MirrorMark::State::kComplete && !settling.has_vmm) return true;
  TRY(RemoveUnused(settling.directory, *made));
  return false;
}

// To what it stands on, or what is to stand on it, or itself.
Result<bool> SettleInChain(const Settling& settling) {
  const auto is = TRY(FindAny(settling.directory, settling.disk.volume.id));
  if (settling.becomes == settling.disk.volume.id) return SettleStream(settling, is);
  if (!is || is->base == settling.becomes) return SettleCommit(settling, is);
  return SettleSnapshot(settling);
}

Status EndDiskChange(Engine& engine, GuestEntry& entry, bool done) {
  TRY(engine.book.Change(entry, [done](StoredGuest& stored) {
    v1::Guest& guest = stored.guest;
    if (const auto index = IndexOf(guest.spec(), guest.pending_disk_change().disk_id()); done && index)
      guest.mutable_spec()->mutable_disks(*index)->set_volume(guest.pending_disk_change().volume());
    guest.clear_pending_disk_change();
    guest.set_etag(mdev::NewUuid().substr(0, 8));
    *guest.mutable_update_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
  }));
  engine.events.Publish(EventOf(entry.Get(), v1::Event::GUEST_UPDATED));
  return Ok();
}

}  // namespace

Result<VolumeDisk> FindVolumeDisk(const v1::Guest& guest, const std::string& disk_id) {
  const auto index = IndexOf(guest.spec(), disk_id);
  if (!index) {
    return BadDisk(Code::kNotFound, "DISK_NOT_FOUND", guest,
                   fmt::format("{} has no disk \"{}\"", guest.name(), disk_id));
  }
  const v1::DiskSpec& disk = guest.spec().disks(*index);
  auto volume = VolumeName::Parse(disk.volume());
  if (!volume) {
    return BadDisk(Code::kFailedPrecondition, "DISK_NOT_A_VOLUME", guest,
                   fmt::format("{}'s disk {} is {}, no volume", guest.name(), disk_id, disk.path()));
  }
  if (disk.read_only()) {
    return BadDisk(Code::kFailedPrecondition, "DISK_READ_ONLY", guest,
                   fmt::format("{} does not write to its disk {}", guest.name(), disk_id));
  }
  return VolumeDisk{.index = *index,
                    .id = disk_id,
                    .volume = *std::move(volume),
                    .direct = disk.cache() == v1::DiskSpec::DIRECT};
}

Status RecordDiskChange(Engine& engine, GuestEntry& guest, const VolumeDisk& disk, const VolumeName& becomes,
                        bool mirror) {
  return engine.book.Change(guest, [&](StoredGuest& stored) {
    v1::PendingDiskChange* const change = stored.guest.mutable_pending_disk_change();
    change->set_disk_id(disk.id);
    change->set_volume(becomes.ToString());
    change->set_mirror(mirror);
  });
}

Status HandOver(GuestEntry& guest, const VolumeDisk& disk, const VolumeName& volume,
                std::vector<ImageFiles> layers) {
  const std::shared_ptr<Vmm> vmm = guest.GetVmm();
  if (!vmm) return GuestEnding(guest.name);
  control::Request request;
  request.mutable_exchange_disk()->set_id(disk.id);
  control::BlockDevice* const image = request.mutable_exchange_disk()->mutable_image();
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(layers[0].image));
  image->set_image_fd(0);
  image->set_volume(volume.ToString());
  AddBeneath(std::move(layers), &fds, image);
  std::vector<int> borrowed;
  for (const UniqueFd& fd : fds) borrowed.push_back(fd.get());
  TRY(vmm->Call(std::move(request), borrowed, kHandOverTimeout));
  return Ok();
}

Status SettleDiskChange(Engine& engine, GuestEntry& entry) {
  const v1::Guest guest = entry.Get();
  if (!guest.has_pending_disk_change()) return Ok();
  const v1::PendingDiskChange& change = guest.pending_disk_change();
  const auto disk = FindVolumeDisk(guest, change.disk_id());
  const auto becomes = VolumeName::Parse(change.volume());
  if (!disk || !becomes || (disk->volume.pool != becomes->pool && !change.mirror()))
    return ForgetDiskChange(engine, entry);
  const VolumePoolPtr directory = TRY(OpenVolumePool(FindPool(engine.settings.pools, becomes->pool)));
  const Settling settling{.guest = entry,
                          .directory = *directory,
                          .disk = *disk,
                          .becomes = becomes->id,
                          .has_vmm = entry.GetVmm() != nullptr,
                          .vmm_has_it = TRY(VmmHas(entry, change))};
  const MirrorMark mark(engine.settings.state_dir, entry.uid);
  const bool done = TRY(change.mirror() ? SettleMirror(settling, TRY(mark.Read())) : SettleInChain(settling));
  LOG_INFO("{}: its disk {} {} {}", guest.name(), change.disk_id(), done ? "is now" : "has not become",
           change.volume());
  TRY(EndDiskChange(engine, entry, done));
  return change.mirror() ? mark.Remove() : Ok();
}

Status SettleDiskChange(Engine& engine, GuestEntry& guest, const VolumeDisk& disk, const VolumeName& becomes,
                        const Status& done) {
  const Status settled = SettleDiskChange(engine, guest);
  if (!done) return done;
  TRY(settled);
  if (guest.Get().spec().disks(disk.index).volume() == becomes.ToString()) return Ok();
  return Fail(VmmProtocolError("a disk is not what it should have become"));
}

Status ForgetDiskChange(Engine& engine, GuestEntry& guest) { return EndDiskChange(engine, guest, false); }

}  // namespace berth::server

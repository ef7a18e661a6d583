#include <algorithm>
#include <vector>

#include <google/protobuf/util/field_mask_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <google/protobuf/util/time_util.h>

#include "mdev/mdev.h"
#include "server/guest/device_spec_check.h"
#include "server/guest/expiration.h"
#include "server/guest/launch_plan.h"
#include "server/guest/spec_check.h"
#include "server/guest/verbs.h"
#include "server/guest/verbs_internal.h"

namespace berth::server {
namespace {

using google::protobuf::FieldMask;
using google::protobuf::util::FieldMaskUtil;

bool IsExpiration(const std::string& path) { return path == "ttl" || path == "expire_time"; }

// The paths to change: given ones, those that are set, or all of the owner's.
Result<FieldMask> MaskOf(const v1::UpdateGuestRequest& request) {
  FieldMask mask;
  for (const std::string& path : request.update_mask().paths()) {
    const bool owners = path == "labels" || path == "spec" || path.starts_with("spec.") || IsExpiration(path);
    if (path == "*") {
      mask.add_paths("labels");
      mask.add_paths("spec");
    } else if (owners && FieldMaskUtil::IsValidPath<v1::Guest>(path)) {
      mask.add_paths(path);
    } else {
      return Fail(Error(Code::kInvalidArgument, fmt::format("{} is nothing that can be changed", path))
                      .Reason("BAD_UPDATE_MASK")
                      .Field("update_mask"));
    }
  }
  if (request.update_mask().paths_size() == 0) {
    if (request.guest().labels_size() != 0) mask.add_paths("labels");
    if (request.guest().has_spec()) mask.add_paths("spec");
    if (request.guest().has_ttl()) mask.add_paths("ttl");
    if (request.guest().has_expire_time()) mask.add_paths("expire_time");
  }
  return mask;
}

bool ChangesExpiration(const FieldMask& mask) {
  return std::any_of(mask.paths().begin(), mask.paths().end(), IsExpiration);
}

bool SameLimits(const v1::DiskSpec& one, const v1::DiskSpec& other) {
  return google::protobuf::util::MessageDifferencer::Equals(one.io_limits(), other.io_limits());
}

// Whether disks' limits and sizes are all that differs: what a running guest may be given.
bool OnlyDisksDiffer(const v1::GuestSpec& before, v1::GuestSpec after) {
  if (before.disks_size() != after.disks_size()) return false;
  for (int i = 0; i < before.disks_size(); ++i) {
    v1::DiskSpec* const disk = after.mutable_disks(i);
    disk->clear_io_limits();
    if (before.disks(i).has_io_limits()) *disk->mutable_io_limits() = before.disks(i).io_limits();
    disk->set_size_bytes(before.disks(i).size_bytes());
  }
  return google::protobuf::util::MessageDifferencer::Equals(before, after);
}

// Where the guest runs; otherwise its next start does.
Status TellDisks(GuestEntry& guest, const v1::GuestSpec& before, const v1::GuestSpec& spec) {
  const std::shared_ptr<Vmm> vmm = guest.GetVmm();
  for (int i = 0; vmm && i < spec.disks_size(); ++i) {
    const v1::DiskSpec& disk = spec.disks(i);
    if (disk.size_bytes() > before.disks(i).size_bytes()) {
      control::Request request;
      request.mutable_grow_disk()->set_id(DiskId(spec, i));
      request.mutable_grow_disk()->set_size_bytes(static_cast<uint64_t>(disk.size_bytes()));
      TRY(vmm->Call(std::move(request)));
    }
    if (!SameLimits(disk, before.disks(i))) {
      control::Request request;
      request.mutable_set_disk_limits()->set_id(DiskId(spec, i));
      *request.mutable_set_disk_limits()->mutable_limits() = ToControlLimits(disk.io_limits());
      TRY(vmm->Call(std::move(request)));
    }
  }
  return Ok();
}

}  // namespace

Result<v1::Guest> GuestVerbs::Update(const v1::UpdateGuestRequest& request) {
  const FieldMask mask = TRY(MaskOf(request));
  MutexLock lock(admission_);
  const GuestPtr guest = TRY(engine_.book.Find(request.guest().name()));
  TRY(BeginOperation(guest, "update"));
  OperationScope scope(engine_, guest);
  StoredGuest changed;
  {
    MutexLock guest_lock(guest->mutex);
    changed = guest->stored;
  }
  const v1::GuestSpec before = changed.guest.spec();
  if (!request.guest().etag().empty() && request.guest().etag() != changed.guest.etag()) {
    return Fail(Error(Code::kAborted, fmt::format("{} has changed since it was read", guest->name))
                    .Reason("ETAG_MISMATCH")
                    .With("resource", guest->name)
                    .With("etag", changed.guest.etag()));
  }
  FieldMaskUtil::MergeOptions options;
  options.set_replace_message_fields(true);
  options.set_replace_repeated_fields(true);
  FieldMaskUtil::MergeMessageTo(request.guest(), mask, options, &changed.guest);
  const auto now = google::protobuf::util::TimeUtil::GetCurrentTime();
  if (ChangesExpiration(mask)) {
    TRY(CheckTransition(changed.guest, Verb::kUpdateSpec));
    TRY(SettleExpiration(now, &changed.guest));
  }
  TRY(CheckLabels(changed.guest));
  TRY(CheckSpec(changed.guest.spec()));
  std::vector<Claim> claims;
  const bool spec_changes = !OnlyDisksDiffer(before, changed.guest.spec());
  if (spec_changes) {
    TRY(CheckTransition(changed.guest, Verb::kUpdateSpec));
    const PreparedStart prepared = TRY(Prepare(changed, PrepareFor::kDefinition));
    claims = ClaimsOf(prepared.devices, guest->uid);
    changed.guest.clear_claimed_devices();
    for (const auto& device : prepared.devices)
      *changed.guest.add_claimed_devices() = ToClaimedDevice(device);
  }
  changed.guest.set_etag(mdev::NewUuid().substr(0, 8));
  *changed.guest.mutable_update_time() = now;
  if (request.validate_only()) return changed.guest;
  // Claims first: they may be refused.
  if (spec_changes) TRY(engine_.table.Update(changed, claims));
  if (!spec_changes) TRY(TellDisks(*guest, before, changed.guest.spec()));
  TRY(engine_.book.Change(*guest, [&](StoredGuest& stored) {
    stored.guest.set_etag(changed.guest.etag());
    *stored.guest.mutable_update_time() = changed.guest.update_time();
    *stored.guest.mutable_labels() = changed.guest.labels();
    *stored.guest.mutable_spec() = changed.guest.spec();
    *stored.guest.mutable_claimed_devices() = changed.guest.claimed_devices();
    stored.guest.clear_expiration();
    if (changed.guest.has_expire_time()) *stored.guest.mutable_expire_time() = changed.guest.expire_time();
  }));
  const v1::Guest result = guest->Get();
  engine_.events.Publish(EventOf(result, v1::Event::GUEST_UPDATED));
  return result;
}

}  // namespace berth::server

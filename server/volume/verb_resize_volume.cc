#include "block/layers.h"
#include "server/guest/field_error.h"
#include "server/guest/running_vmm.h"
#include "server/guest/verbs_internal.h"
#include "server/volume/volume_chain.h"
#include "server/volume/volume_facts.h"
#include "server/volume/volume_verbs.h"
#include "server/volume/volume_view.h"

namespace berth::server {
namespace {

// The guest that runs with the volume as a disk that it may write to.
std::optional<VolumeUser> FindRunningUser(GuestBook& book, const std::string& volume) {
  const VolumeUsers users = UsersOfVolumes(book);
  for (auto [user, end] = users.equal_range(volume); user != end; ++user) {
    if (user->second.running && user->second.writes) return user->second;
  }
  return std::nullopt;
}

// Its monitor has the image, and tells the guest.
Status GrowInGuest(Engine& engine, const VolumeUser& user, uint64_t size_bytes) {
  const GuestPtr guest = TRY(engine.book.Find(user.guest));
  TRY(BeginOperation(guest, "resize"));
  OperationScope scope(engine, guest);
  TRY(CheckTransition(guest->Get(), Verb::kReset));
  const std::shared_ptr<Vmm> vmm = TRY(RunningVmm(engine, user.guest));
  control::Request request;
  request.mutable_grow_disk()->set_id(user.disk_id);
  request.mutable_grow_disk()->set_size_bytes(size_bytes);
  TRY(vmm->Call(std::move(request)));
  return Ok();
}

Status GrowOffline(const PoolDirectory& directory, const std::string& id, uint64_t size_bytes) {
  const auto image =
      TRY(block::OpenLayers(TRY(OpenVolumeChain(directory, id, {.writable = true})), {.writable = true}));
  // Somebody may have been here meanwhile.
  if (image->size_bytes() >= size_bytes) return Ok();
  TRY(image->Resize(size_bytes, block::Preallocation::kOff));
  return block::ToStatus(block::Flush(image.get()), "write the volume");
}

}  // namespace

Result<Operation> VolumeVerbs::Resize(const v1::ResizeVolumeRequest& request) {
  const VolumeName name = TRY(ParseVolumeName(request.name()));
  TRY(CheckVolumeSize("size_bytes", request.size_bytes()));
  const auto wanted = static_cast<uint64_t>(request.size_bytes());
  const OperationRequest asked{
      .verb = "resize", .target = request.name(), .request_id = request.request_id()};
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  const auto directory = std::make_shared<PoolDirectory>(TRY(OpenPool(name.pool)));
  const std::vector<VolumeFile> files = TRY(directory->List());
  const uint64_t size = TRY(LookAt(*directory, TRY(directory->Find(name.id, files)), files)).size_bytes;
  if (wanted < size)
    return BadPath("size_bytes", "{} has {}, and volumes do not shrink", request.name(), size);
  TRY(CheckNoDependents(*directory, name.id, "made larger"));
  RoomLedger::Claim room = TRY(TakeRoom(*directory, wanted - size));
  return engine_.operations.Start(
      asked,
      [this, directory, name, wanted, room = std::move(room)](
          OperationProgress&) mutable -> Result<std::unique_ptr<google::protobuf::Message>> {
        const auto claim = std::move(room);
        const auto user = FindRunningUser(engine_.book, name.ToString());
        if (user) TRY(GrowInGuest(engine_, *user, wanted));
        if (!user) TRY(GrowOffline(*directory, name.id, wanted));
        return std::make_unique<v1::Volume>(
            TRY(ShowVolume(*directory, name.id, UsersOfVolumes(engine_.book))));
      });
}

}  // namespace berth::server

#include <fcntl.h>

#include "server/guest/verbs_internal.h"
#include "server/volume/volume_chain.h"
#include "server/volume/volume_verbs.h"

namespace berth::server {
namespace {

// What is to go: found, and locked so that nobody begins to use it.
struct Doomed {
  VolumePoolPtr directory;
  VolumeFile file;
  UniqueFd lock;
};

}  // namespace

Result<Operation> VolumeVerbs::Delete(const v1::DeleteVolumeRequest& request) {
  const VolumeName name = TRY(ParseVolumeName(request.name()));
  const OperationRequest asked{
      .verb = "delete", .target = request.name(), .request_id = request.request_id()};
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  const VolumePoolPtr directory = TRY(OpenPool(name.pool));
  auto found = directory->Find(name.id);
  if (!found && found.error().code() == Code::kNotFound && request.allow_missing())
    return DoneOperation(google::protobuf::Empty());
  VolumeFile file = TRY(std::move(found));
  TRY(CheckNoGuestHas(request.name(), /*writing=*/false, "deleted"));
  TRY(CheckNoDependents(*directory, name.id, "deleted"));
  UniqueFd fd = TRY(directory->OpenVolume(file, O_RDWR));
  TRY(LockVolume(*directory, file, fd.get(), {.read = false, .write = true, .resize = true}));
  // Again behind the lock: whoever makes a volume that stands on this one has a lock on it as well.
  TRY(CheckNoDependents(*directory, name.id, "deleted"));
  if (request.validate_only()) return DoneOperation(google::protobuf::Empty());
  auto doomed = std::make_shared<Doomed>(Doomed{directory, std::move(file), std::move(fd)});
  return engine_.operations.Start(asked,
                                  [doomed = std::move(doomed)](OperationProgress&) mutable
                                  -> Result<std::unique_ptr<google::protobuf::Message>> {
                                    // Its lock ends before the operation does.
                                    const auto mine = std::move(doomed);
                                    TRY(mine->directory->Remove(mine->file, std::move(mine->lock)));
                                    return std::make_unique<google::protobuf::Empty>();
                                  });
}

}  // namespace berth::server

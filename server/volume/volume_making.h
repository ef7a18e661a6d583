// A volume on its way: checked, its name taken, its file there but hidden.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "berth/v1/volume.pb.h"
#include "block/layers.h"
#include "server/operation/operation_runner.h"
#include "server/volume/room_ledger.h"
#include "server/volume/volume_pool.h"

namespace berth::server {

// What is wanted.
struct VolumePlan {
  VolumeName name;
  VolumeFile file;
  uint64_t size_bytes = 0;
  // In a pool of devices: the volume of the same pool whose content it has from the beginning.
  std::string copy_of{};
  v1::Volume::Preallocation preallocation = v1::Volume::PREALLOCATION_UNSPECIFIED;
  // A guest writes to what it is to stand on, and stops when it gets it.
  bool base_is_written_to = false;
};

// ALREADY_EXISTS, VOLUME_EXISTS.
Status CheckIsNew(const VolumePool& directory, const std::string& id);

class VolumeMaking {
 public:
  // Opens and locks what it is to stand on. VolumePool::Begin's errors and OpenVolumeChain's; VOLUME_EXISTS.
  // `room` is kept as long as this.
  static Result<std::unique_ptr<VolumeMaking>> Begin(VolumePoolPtr directory, VolumePlan plan,
                                                     RoomLedger::Claim room);

  const VolumePool& directory() const { return *directory_; }
  const VolumePlan& plan() const { return plan_; }

  // The image, empty (but for copy_of); of no size, if it is to be given room, and then by Preallocate.
  Status Format();
  Status Preallocate(OperationProgress& progress);
  // Copies the content of an image that is no larger.
  Status Fill(block::Image* source, OperationProgress& progress);
  // For a guest that fills it: for writing, locked.
  Result<UniqueFd> OpenForGuest(bool direct) const;
  Status Publish(const OperationProgress& progress);

 private:
  VolumeMaking(VolumePoolPtr directory, VolumePlan plan, RoomLedger::Claim room,
               std::vector<block::LayerFiles> base)
      : directory_(std::move(directory)),
        plan_(std::move(plan)),
        room_(std::move(room)),
        base_(std::move(base)) {}
  // The image without what it stands on. Its flushes do nothing: Publish makes the file durable.
  Result<std::unique_ptr<block::FormatImage>> Open() const;

  const VolumePoolPtr directory_;
  const VolumePlan plan_;
  const RoomLedger::Claim room_;
  std::vector<block::LayerFiles> base_;  // Its locks keep others from writing to it.
  std::unique_ptr<NewVolume> file_;
};

}  // namespace berth::server

// A volume on its way: checked, its name taken, its file there but hidden.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "berth/v1/volume.pb.h"
#include "block/layers.h"
#include "server/operation/operation_runner.h"
#include "server/volume/new_volume_file.h"
#include "server/volume/pool_directory.h"

namespace berth::server {

// What is wanted.
struct VolumePlan {
  VolumeName name;
  VolumeFile file;
  uint64_t size_bytes = 0;
  v1::Volume::Preallocation preallocation = v1::Volume::PREALLOCATION_UNSPECIFIED;
};

// INVALID_ARGUMENT, INVALID_FIELD or REQUIRED_FIELD.
Result<std::string> PoolOf(const std::string& parent);  // The id in the request's parent.
Result<VolumeName> ParseVolumeName(const std::string& name, const std::string& field = "name");
Status CheckVolumeId(const std::string& id);
Status CheckVolumeSize(const std::string& field, int64_t size_bytes);
Result<std::string> CheckFormat(const std::string& field, v1::Volume::Format format);  // "raw"

// ALREADY_EXISTS, VOLUME_EXISTS.
Status CheckIsNew(const PoolDirectory& directory, const std::string& id);

class VolumeMaking {
 public:
  // Opens and locks what it is to stand on. NewVolumeFile's errors and OpenVolumeChain's; VOLUME_EXISTS.
  static Result<std::unique_ptr<VolumeMaking>> Begin(PoolDirectory directory, VolumePlan plan);

  const PoolDirectory& directory() const { return directory_; }
  const VolumePlan& plan() const { return plan_; }

  // The image, empty; of no size, if it is to be given room, and then by Preallocate.
  Status Format();
  Status Preallocate(OperationProgress& progress);
  // The image without what it stands on. The file is flushed by Publish.
  Result<std::unique_ptr<block::FormatImage>> Open() const;
  Status Publish(const OperationProgress& progress);

 private:
  VolumeMaking(PoolDirectory directory, VolumePlan plan, std::vector<block::LayerFiles> base)
      : directory_(std::move(directory)), plan_(std::move(plan)), base_(std::move(base)) {}

  const PoolDirectory directory_;
  const VolumePlan plan_;
  std::vector<block::LayerFiles> base_;  // Its locks keep others from writing to it.
  std::unique_ptr<NewVolumeFile> file_;
};

// CANCELLED, if the operation's caller wants that.
Status CheckNotCancelled(const OperationProgress& progress);

}  // namespace berth::server

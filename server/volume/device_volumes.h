// What a pool of block devices does for its volumes, which images in files do inside themselves.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "block/snapshot.h"
#include "server/volume/volume_name.h"

namespace berth::server {

class NewVolume;

// Any thread. The errors are VolumePool's. Volumes are raw, and stand on nothing.
class DeviceVolumes {
 public:
  virtual ~DeviceVolumes() = default;

  // As VolumePool::Begin, of what has the content of `origin` from the beginning: a volume of this pool that
  // nobody writes to meanwhile, no larger, and that may go afterwards.
  virtual Result<std::unique_ptr<NewVolume>> BeginCopy(const VolumeFile& file, const std::string& origin,
                                                       uint64_t size_bytes) const = 0;
  // To so many bytes at least, if it has fewer. It may be in use: who has it open sees that when it looks.
  virtual Status Grow(const VolumeFile& file, uint64_t size_bytes) const = 0;

  // By name. The names are ids.
  virtual Result<std::vector<block::Snapshot>> Snapshots(const std::string& volume) const = 0;
  // Of what is on the device at one moment; it may be in use.
  virtual Status CreateSnapshot(const std::string& volume, const std::string& snapshot) const = 0;
  // `lock` is a descriptor with the locks that keep others from the volume, as for VolumePool::Remove.
  virtual Status ApplySnapshot(const VolumeFile& file, const std::string& snapshot, UniqueFd lock) const = 0;
  virtual Status DeleteSnapshot(const std::string& volume, const std::string& snapshot) const = 0;
};

}  // namespace berth::server

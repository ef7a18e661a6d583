// What a volume's file says of it, beyond its name.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "server/volume/volume_pool.h"

namespace berth::server {

inline constexpr uint64_t kMaxVolumeBytes = uint64_t{1} << 56;

// `among`, here and below: what VolumePool::List returned.

// Reads the header of a qcow2 image and no more, locks nothing: the volume may be in use. What the image says
// that it stands on must be what the file's name says. OpenVolume's and FindBase's errors; INVALID_ARGUMENT,
// IMAGE_MALFORMED; PERMISSION_DENIED, IMAGE_NAMES_OTHER_FILE.
Result<VolumeFacts> LookAt(const VolumePool& directory, const VolumeFile& file,
                           const std::vector<VolumeFile>& among);

// The same of the volume's file, which is open (borrowed).
Result<VolumeFacts> Examine(const VolumePool& directory, const VolumeFile& file, int fd,
                            const std::vector<VolumeFile>& among);

// Whether the image in its file stands on another one, whatever its name says. IMAGE_MALFORMED.
Result<bool> HasBacking(const VolumePool& directory, const VolumeFile& file);

// The file of the volume that `file` stands on, whose name says of one. FAILED_PRECONDITION, BASE_NOT_FOUND.
Result<VolumeFile> FindBase(const VolumePool& directory, const VolumeFile& file,
                            const std::vector<VolumeFile>& among);

// The pool's room, and its volumes together; sums stay within int64. Volumes that cannot be looked at
// are counted, no more.
struct PoolFacts {
  int64_t capacity_bytes = 0, available_bytes = 0;
  int64_t allocated_bytes = 0, promised_bytes = 0;
  double metadata_percent = 0;
  int volume_count = 0;
};
// VolumePool::List's errors.
Result<PoolFacts> MeasurePool(const VolumePool& directory);

}  // namespace berth::server

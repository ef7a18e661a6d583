// A volume with all that it stands on, opened and locked.
#pragma once

#include <vector>

#include "base/error.h"
#include "block/file_lock.h"
#include "block/layers.h"
#include "server/volume/volume_pool.h"

namespace berth::server {

// Images of a disk above one another, the topmost included.
inline constexpr size_t kMaxImageLayers = 64;

struct VolumeUse {
  bool writable = false;
  bool direct = false;         // O_DIRECT
  bool base_writable = false;  // The volume right beneath is written to as well.
  // Those from here on down (0: the volume itself) who gets these has already, in another way: who has them
  // is not looked for.
  size_t taken_over_from = kMaxImageLayers;
};

// The files of the volume and of those beneath it, which are opened for reading; locked, as other programs
// see, until the last copies of the descriptors are closed. VolumePool's errors, for the volume they are
// about, and LookAt's; ABORTED, VOLUME_BUSY; FAILED_PRECONDITION: IMAGE_IN_USE; VOLUME_HAS_DEPENDENTS, for
// writing to what others stand on; BASE_NOT_FOUND. INVALID_ARGUMENT: IMAGE_CHAIN_TOO_LONG (as is one that
// ends nowhere).
Result<std::vector<block::LayerFiles>> OpenVolumeChain(const VolumePool& directory, const std::string& volume,
                                                       const VolumeUse& use);

// Takes the locks for one of its files (borrowed). FAILED_PRECONDITION, IMAGE_IN_USE.
Status LockVolume(const VolumePool& directory, const VolumeFile& file, int fd, const block::FileUse& use);

// FAILED_PRECONDITION, VOLUME_HAS_DEPENDENTS, if there are any: it then cannot be `done` ("deleted").
Status CheckNoDependents(const VolumePool& directory, const std::string& volume, std::string_view done);

}  // namespace berth::server

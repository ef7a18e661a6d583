// Snapshots of volumes: states that a qcow2 volume keeps inside itself, or a pool of devices beside it.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "berth/v1/volume.pb.h"
#include "block/snapshot.h"
#include "server/volume/volume_pool.h"

namespace berth::server {

// What others' tools made, under names that are no ids, is left out. Locks nothing: whoever has the volume
// may be changing them, and then this may fail. LookAt's errors.
Result<std::vector<v1::VolumeSnapshot>> ShowSnapshots(const VolumePool& directory, const std::string& volume);

enum class SnapshotChange { kCreate, kApply, kDelete };

// Whether it may be made, as things are. UNIMPLEMENTED, SNAPSHOTS_NOT_SUPPORTED, for raw volumes; NOT_FOUND,
// SNAPSHOT_NOT_FOUND; ALREADY_EXISTS, SNAPSHOT_EXISTS; RESOURCE_EXHAUSTED, TOO_MANY_SNAPSHOTS.
Status CheckSnapshotChange(const VolumePool& directory, const SnapshotName& name, SnapshotChange change);

// To a volume that nobody uses; in a pool of devices only kApply needs that. The same errors, and
// OpenVolumeChain's.
Status ChangeSnapshot(const VolumePool& directory, const SnapshotName& name, SnapshotChange change);

}  // namespace berth::server

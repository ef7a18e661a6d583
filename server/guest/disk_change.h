// Changes of which volume a running guest's disk is: in which order who is told, so that whatever ends in
// between, the guest finds what it has written (docs/volumes.md).
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "server/guest/engine.h"
#include "server/guest/image_chain.h"
#include "server/volume/volume_name.h"

namespace berth::server {

// The caller of what follows holds the guest's operation.

// A disk that is a volume which the guest may write to.
struct VolumeDisk {
  int index = 0;  // In the spec.
  std::string id;
  VolumeName volume;
  bool direct = false;  // O_DIRECT
};

// NOT_FOUND, DISK_NOT_FOUND; FAILED_PRECONDITION, DISK_NOT_A_VOLUME, DISK_READ_ONLY.
Result<VolumeDisk> FindVolumeDisk(const v1::Guest& guest, const std::string& disk_id);

// What the disk is about to become: a volume of the same pool that is to stand on the disk's, or that the
// disk's stands on; or the same volume, which is to stand alone; or, with `mirror`, a copy, in any pool,
// whose name is given when there is a MirrorMark.
Status RecordDiskChange(Engine& engine, GuestEntry& guest, const VolumeDisk& disk, const VolumeName& becomes,
                        bool mirror = false);

// Has the VMM go on with these images, from the top down, as this volume. ExchangeDisk's errors, and
// Vmm::Call's.
Status HandOver(GuestEntry& guest, const VolumeDisk& disk, const VolumeName& volume,
                std::vector<ImageFiles> layers);

// Ends a change that is on record. What the running VMM says that the disk is, it is, if it is one of the
// two. Without a VMM it is whatever shows what was written last (docs/volumes.md). What is not used any more
// is removed.
Status SettleDiskChange(Engine& engine, GuestEntry& guest);
// The same at the end of an operation, with what that has come to: `done`, or if that is well how it was
// settled; INTERNAL, VMM_PROTOCOL_ERROR, if the disk is not `becomes` then. If it fails, who comes next
// settles it.
Status SettleDiskChange(Engine& engine, GuestEntry& guest, const VolumeDisk& disk, const VolumeName& becomes,
                        const Status& done);
// The same where it is known that nobody has got the new volume, which is left alone.
Status ForgetDiskChange(Engine& engine, GuestEntry& guest);

}  // namespace berth::server

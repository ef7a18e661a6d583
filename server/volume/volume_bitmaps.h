// Bitmaps inside volumes: where a qcow2 volume was written to since each of them was begun.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "berth/v1/volume.pb.h"
#include "server/guest/engine.h"
#include "server/volume/volume_pool.h"

namespace berth::server {

// By name; what others' tools made, under names that are no ids, is left out. Asked of the monitor of the
// guest that writes to the volume, if one does. OpenVolumeChain's errors, AskMonitor's; UNIMPLEMENTED,
// BITMAPS_NOT_SUPPORTED, for raw volumes.
Result<std::vector<v1::VolumeBitmap>> ShowBitmaps(Engine& engine, const VolumePool& directory,
                                                  const std::string& volume);

// Begins to record, or drops a record. The same errors; ALREADY_EXISTS, BITMAP_EXISTS; NOT_FOUND,
// BITMAP_NOT_FOUND; RESOURCE_EXHAUSTED, TOO_MANY_BITMAPS.
Status CreateBitmap(Engine& engine, const VolumePool& directory, const BitmapName& name,
                    uint64_t granularity_bytes);
Status DeleteBitmap(Engine& engine, const VolumePool& directory, const BitmapName& name);

}  // namespace berth::server

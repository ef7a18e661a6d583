// The table of snapshots, and what a command line says of one.
#pragma once

#include <span>
#include <string_view>

#include "base/error.h"
#include "block/image.h"
#include "block/snapshot.h"

namespace berth::img {

// Nothing if there are none.
void PrintSnapshots(std::span<const block::Snapshot> snapshots);

// `snapshot.id=ID,snapshot.name=NAME`, either of them, or an id or name alone; has the image read as it did
// then. Complains and returns false if that cannot be.
bool ViewSnapshot(block::Image* image, std::string_view parameter);

}  // namespace berth::img

// Which of the host's disks a path is on.
#pragma once

#include <string>

#include "base/error.h"
#include "host/roots.h"

namespace berth::host {

// "8:0", the whole disk of a block device or of the file system that a file is on. FAILED_PRECONDITION,
// NO_SINGLE_DISK, for files that are on none (tmpfs, overlays, several disks); the errors of stat(2).
Result<std::string> DiskOf(const HostRoots& roots, const std::string& path);

}  // namespace berth::host

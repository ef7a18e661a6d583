// Memory as a file, for a guest whose VMM maps it.
#pragma once

#include <cstdint>
#include <string>

#include "base/unique_fd.h"

namespace berth {

// `size_bytes` of memory in ordinary pages, none of them there yet, that goes when the last descriptor and
// mapping do. With CAP_SYS_ADMIN it is in a tmpfs of its own, mounted nowhere and without a limit, where
// whoever maps it has transparent huge pages with madvise(MADV_HUGEPAGE): those of memfd_create(2) are for
// the whole host to allow (shmem_enabled), and by default no host does. Without, it is a memfd of this name.
// Any user who has the descriptor may ask which pages are there.
// Linux, Documentation/admin-guide/mm/transhuge.rst; tmpfs(5).
Result<UniqueFd> CreateMemoryFile(const std::string& name, uint64_t size_bytes);

}  // namespace berth

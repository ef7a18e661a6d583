// Host CPUs that a guest's owner chose.
#pragma once

#include <vector>

#include "base/error.h"
#include "host/snapshot.h"
#include "server/placement/host_room.h"

namespace berth::server {

// Each is there, online, one that guests may have for themselves, and nobody's; and those who share still
// have what they were promised without them. See Place for the refusals.
Status CheckHostCpus(const host::HostSnapshot& host, const HostModel& model, const HostRoom& room,
                     const Ledger& ledger, const std::vector<int>& cpus);

// The room without CPUs that were checked.
HostRoom WithoutHostCpus(const HostModel& model, const std::vector<int>& cpus, HostRoom room);

}  // namespace berth::server

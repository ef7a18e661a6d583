// A host made up for tests: two nodes of four CPUs (two cores of two threads) and 4 GiB each, and some
// devices.
#pragma once

#include "base/bytes.h"
#include "host/snapshot.h"

namespace berth::host {

// CPUs 0-3 on node 0, 4-7 on node 1; threads of a core are neighbours.
//   0000:00:1f.2, .3  group 4 together, SATA (ahci) and SMBus (i801_smbus), node 0
//   0000:01:00.0      group 1, NIC (igb), 7 VFs possible and none there, node 1
//   0000:02:00.0      group 2, NVMe (nvme), 2 VFs 0000:02:00.1 and .2 in groups 5 and 6, node 0
//   0000:03:00.0      group 3, display, no driver, node 0
//   0000:04:00.0      a device in no IOMMU group
//   mtty              parent of mediated devices, type mtty-2 with 12 instances; "mtty-1" has none left
//   11111111-2222-4333-8444-555555555555  a mediated device of mtty-2, in group 20
//   br0               a bridge
HostSnapshot SampleHost();

}  // namespace berth::host

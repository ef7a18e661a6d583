// Hosts of any size, made up for tests and measurements.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "host/snapshot.h"

namespace berth::host {

struct MadeHost {
  int nodes = 2;
  int cores_per_node = 4;
  int threads_per_core = 2;
  uint64_t bytes_per_node = 16 * kGiB;
  uint64_t huge_bytes_per_node = 0;  // Of these, in pages of 2 MiB.
  int cores_per_cache = 4;
  // Virtual functions of one accelerator on each node, by its index; nodes beyond have none.
  std::vector<int> devices;
  int first_node = 0, node_step = 1;  // Of the ids.
  int far = 21;  // Distance between nodes of different halves of the host; 12 within one.
};

// CPUs are numbered node by node, threads of a core next to each other.
HostSnapshot Make(const MadeHost& made);
// "0000:10:00.1": the device `index` of node `node`.
PciAddress DeviceOf(int node, int index);

}  // namespace berth::host

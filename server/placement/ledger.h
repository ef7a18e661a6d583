// What running guests have been promised.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/cpu_set.h"

namespace berth::server {

struct Reservation {
  struct Memory {
    int host_node = 0;
    uint64_t page_size_bytes = 4096;
    uint64_t size_bytes = 0;
  };
  struct SharedCpus {
    int host_node = 0;
    int millicpus = 0;
  };
  struct Device {
    std::string key;
    std::optional<int> host_node;
  };
  std::string guest;            // "guests/a"
  int vcpus = 0;                // Of all kinds.
  host::CpuSet dedicated_cpus;  // Nobody else's; with them the threads that are kept idle.
  std::vector<Memory> memory;
  std::vector<SharedCpus> shared_cpus;  // Its part of the nodes' shared CPUs.
  std::vector<Device> devices;
  std::vector<std::string> apart_from;
};
using Ledger = std::vector<Reservation>;

}  // namespace berth::server

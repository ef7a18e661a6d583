// What a cgroup (v2) may use, as the kernel's files have it (Documentation/admin-guide/cgroup-v2.rst).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "host/control/control.h"
#include "host/cpu_set.h"

namespace berth::host {

// What it gets of one disk at most, a second; 0: no limit.
struct IoMax {
  std::string device;  // "8:0", a whole disk.
  uint64_t read_bytes = 0, write_bytes = 0;
  uint64_t read_operations = 0, write_operations = 0;

  friend bool operator==(const IoMax&, const IoMax&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("device", self.device);
    visit("read_bytes", self.read_bytes);
    visit("write_bytes", self.write_bytes);
    visit("read_operations", self.read_operations);
    visit("write_operations", self.write_operations);
  }
};

// None, or empty: left as the kernel makes it. Of these only cpus, memory_nodes, cpu_weight and cpu_max are
// for threaded cgroups.
struct CgroupLimits {
  CpuSet cpus;                               // cpuset.cpus
  CpuSet memory_nodes;                       // cpuset.mems
  std::optional<uint32_t> cpu_weight;        // cpu.weight, 1 to 10000.
  std::optional<uint64_t> cpu_max_millicpu;  // cpu.max, in thousandths of a CPU; at least 10.
  std::optional<uint64_t> memory_min, memory_low, memory_high, memory_max;  // Bytes; whole pages count.
  std::optional<uint32_t> io_weight;                                        // io.weight, 1 to 10000.
  std::vector<IoMax> io_max;

  bool UsesMemory() const { return memory_min || memory_low || memory_high || memory_max; }
  bool UsesIo() const { return io_weight || !io_max.empty(); }
  friend bool operator==(const CgroupLimits&, const CgroupLimits&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("cpus", self.cpus);
    visit("memory_nodes", self.memory_nodes);
    visit("cpu_weight", self.cpu_weight);
    visit("cpu_max_millicpu", self.cpu_max_millicpu);
    visit("memory_min", self.memory_min);
    visit("memory_low", self.memory_low);
    visit("memory_high", self.memory_high);
    visit("memory_max", self.memory_max);
    visit("io_weight", self.io_weight);
    visit("io_max", self.io_max);
  }
};

// INVALID_ARGUMENT: BAD_CPU_WEIGHT, BAD_CPU_MAX, BAD_IO_WEIGHT.
Status CheckLimits(const CgroupLimits& limits);

// Sets the limits of the cgroup at `path` and reads each back. FAILED_PRECONDITION, CGROUP_LIMIT_NOT_HELD,
// with what the kernel made of it.
Status SetLimits(const HostControl& control, const std::string& path, const CgroupLimits& limits);

// What the kernel has otherwise than it was set: "cpu.weight is 100, not 200". memory.high and memory.low are
// not looked at: they are others' to adjust while the guest runs.
std::vector<std::string> FindDifferences(const std::string& path, const CgroupLimits& limits);

}  // namespace berth::host

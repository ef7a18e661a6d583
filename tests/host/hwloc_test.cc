// hwloc reads the same recorded machines, as an independent witness of their topology.
#include <hwloc.h>

#include <map>
#include <set>

#include <gtest/gtest.h>

#include "host/cpu.h"
#include "host/numa.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::host {
namespace {

// A root below a fresh directory, from one of hwloc's own test machines.
class RecordedMachine {
 public:
  explicit RecordedMachine(const std::string& tarball) {
    const std::string command = fmt::format(
        "tar -xjf '{}/hosts/{}' -C '{}' --strip-components=1 --exclude='memory[0-9]*' "
        "--wildcards '*/sys/devices/system/cpu' '*/sys/devices/system/node' '*/proc'",
        BERTH_FIXTURES, tarball, directory_.path());
    CHECK(std::system(command.c_str()) == 0);
    ::setenv("HWLOC_FSROOT", directory_.path().c_str(), 1);
    ::setenv("HWLOC_COMPONENTS", "linux,stop", 1);
    CHECK(hwloc_topology_init(&topology_) == 0);
    hwloc_topology_set_flags(topology_, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    CHECK(hwloc_topology_load(topology_) == 0);
  }
  ~RecordedMachine() { hwloc_topology_destroy(topology_); }

  HostRoots roots() const { return HostRoots::At(directory_.path()); }
  hwloc_topology_t topology() const { return topology_; }

 private:
  ScratchDir directory_;
  hwloc_topology_t topology_;
};

CpuSet FromBitmap(hwloc_const_bitmap_t bitmap) {
  CpuSet set;
  for (int i = hwloc_bitmap_first(bitmap); i >= 0; i = hwloc_bitmap_next(bitmap, i)) set.Insert(i);
  return set;
}

// The CPU sets of all objects of a type.
std::set<std::string> SetsOf(hwloc_topology_t topology, hwloc_obj_type_t type) {
  std::set<std::string> sets;
  for (hwloc_obj_t object = nullptr;
       (object = hwloc_get_next_obj_by_type(topology, type, object)) != nullptr;) {
    sets.insert(FromBitmap(object->cpuset).ToString());
  }
  return sets;
}

class WithHwloc : public ::testing::TestWithParam<const char*> {};

TEST_P(WithHwloc, AgreesOnSocketsCoresCachesAndNodes) {
  const RecordedMachine machine(GetParam());
  const CpuTopology cpus = ReadCpus(machine.roots());
  const MemoryTopology memory = ReadMemory(machine.roots());

  std::map<int, CpuSet> sockets;
  std::set<std::string> cores, caches, nodes;
  for (const Cpu& cpu : cpus.cpus) {
    if (!cpu.online) continue;
    sockets[cpu.socket].Insert(cpu.id);
    cores.insert(cpu.siblings.ToString());
    caches.insert(cpu.cache_siblings.ToString());
  }
  std::set<std::string> socket_sets;
  for (const auto& [id, set] : sockets) socket_sets.insert(set.ToString());
  EXPECT_EQ(cpus.online, FromBitmap(hwloc_topology_get_complete_cpuset(machine.topology())) & cpus.online);
  EXPECT_EQ(socket_sets, SetsOf(machine.topology(), HWLOC_OBJ_PACKAGE));
  EXPECT_EQ(cores, SetsOf(machine.topology(), HWLOC_OBJ_CORE));
  EXPECT_EQ(caches, SetsOf(machine.topology(), HWLOC_OBJ_L3CACHE));
  for (hwloc_obj_t object = nullptr;
       (object = hwloc_get_next_obj_by_type(machine.topology(), HWLOC_OBJ_NUMANODE, object)) != nullptr;) {
    const NumaNode* node = memory.Find(static_cast<int>(object->os_index));
    ASSERT_NE(node, nullptr);
    EXPECT_EQ(node->cpus, FromBitmap(object->cpuset));
    // hwloc leaves the huge pages out of the node's local memory's first page type only; the sum is the
    // node's.
    EXPECT_EQ(node->memory_total_bytes, object->attr->numanode.local_memory);
  }
  EXPECT_EQ(memory.nodes.size(),
            static_cast<size_t>(hwloc_get_nbobjs_by_type(machine.topology(), HWLOC_OBJ_NUMANODE)));
}

INSTANTIATE_TEST_SUITE_P(RecordedMachines, WithHwloc,
                         ::testing::Values("40intel64-2g2n4c+pcilocality.tar.bz2", "20em64t-hybrid.tar.bz2"),
                         [](const auto& machine) {
                           return std::string(machine.param).starts_with("40") ? "FourNodes" : "HybridCores";
                         });

TEST(ReadCpus, TellsPerformanceFromEfficiencyCores) {
  const RecordedMachine machine("20em64t-hybrid.tar.bz2");
  const CpuTopology cpus = ReadCpus(machine.roots());
  ASSERT_EQ(cpus.cpus.size(), 20u);
  EXPECT_EQ(cpus.Find(0)->siblings, (CpuSet{0, 1}));
  EXPECT_EQ(cpus.Find(19)->siblings, CpuSet{19});
  EXPECT_GT(cpus.Find(0)->max_frequency_khz, cpus.Find(19)->max_frequency_khz);
}

}  // namespace
}  // namespace berth::host

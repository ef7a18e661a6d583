#include "host/cpu.h"

#include <gtest/gtest.h>

#include "tests/fakes/host_tree.h"

namespace berth::host {
namespace {

TEST(ReadCpus, TellsThreadsCoresAndSockets) {
  HostTree tree;
  tree.AddCpusAndMemory(2, 4, 2, 1024);  // Threads of a core are 8 apart.
  const CpuTopology topology = ReadCpus(tree.roots());
  ASSERT_EQ(topology.cpus.size(), 16u);
  EXPECT_EQ(topology.online.ToString(), "0-15");
  const Cpu* cpu = topology.Find(13);
  ASSERT_NE(cpu, nullptr);
  EXPECT_EQ(cpu->socket, 1);
  EXPECT_EQ(cpu->core, 1);
  EXPECT_EQ(cpu->node, 1);
  EXPECT_EQ(cpu->siblings, (CpuSet{5, 13}));
  EXPECT_EQ(topology.Find(16), nullptr);
}

TEST(ReadCpus, TakesTheHighestDataCacheForTheLast) {
  HostTree tree;
  tree.AddCpusAndMemory(1, 4, 1, 1024);
  const std::string cache = "sys/devices/system/cpu/cpu1/cache/";
  tree.Write(cache + "index0/level", "1\n");
  tree.Write(cache + "index0/shared_cpu_list", "1\n");
  tree.Write(cache + "index3/level", "3\n");
  tree.Write(cache + "index3/type", "Unified\n");
  tree.Write(cache + "index3/shared_cpu_list", "0-1\n");
  tree.Write(cache + "index4/level", "9\n");
  tree.Write(cache + "index4/type", "Instruction\n");
  tree.Write(cache + "index4/shared_cpu_list", "0-3\n");
  EXPECT_EQ(ReadCpus(tree.roots()).Find(1)->cache_siblings, (CpuSet{0, 1}));
  EXPECT_EQ(ReadCpus(tree.roots()).Find(2)->cache_siblings, CpuSet{2});  // Nothing known: its core.
}

TEST(ReadCpus, KeepsOfflineCpusApart) {
  HostTree tree;
  tree.AddCpusAndMemory(1, 4, 1, 1024);
  tree.Write("sys/devices/system/cpu/online", "0-1,3\n");
  tree.Write("sys/devices/system/cpu/isolated", "3\n");
  const CpuTopology topology = ReadCpus(tree.roots());
  EXPECT_FALSE(topology.Find(2)->online);
  EXPECT_EQ(topology.Find(2)->core, -1);
  EXPECT_EQ(topology.isolated, CpuSet{3});
}

TEST(ReadCpus, SurvivesATreeOfNonsense) {
  HostTree tree;
  tree.Write("sys/devices/system/cpu/present", "0-1\n");
  tree.Write("sys/devices/system/cpu/online", "zero to one\n");
  tree.Write("sys/devices/system/cpu/cpu0/topology/physical_package_id", "99999999999999999999\n");
  tree.Write("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "5-2\n");
  tree.Write("sys/devices/system/cpu/cpu0/nodeX/a", "");
  tree.Write("sys/devices/system/cpu/cpu0/node99999999/a", "");
  const CpuTopology topology = ReadCpus(tree.roots());
  ASSERT_EQ(topology.cpus.size(), 2u);
  EXPECT_EQ(topology.cpus[0].socket, -1);
  EXPECT_EQ(topology.cpus[0].node, -1);
  EXPECT_EQ(topology.cpus[0].siblings, CpuSet{0});
}

TEST(ReadCpus, ReadsNothingWhereNothingIs) {
  EXPECT_TRUE(ReadCpus(HostRoots::At("/nonexistent")).cpus.empty());
}

}  // namespace
}  // namespace berth::host

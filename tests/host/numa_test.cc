#include "host/numa.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "tests/fakes/host_tree.h"

namespace berth::host {
namespace {

TEST(ReadMemory, TellsNodesWithTheirHugePages) {
  HostTree tree;
  tree.AddCpusAndMemory(2, 4, 1, 4096,
                        {{.size_kib = 1048576, .total = 2, .free = 1}, {.size_kib = 2048, .total = 512}});
  const MemoryTopology memory = ReadMemory(tree.roots());
  ASSERT_EQ(memory.nodes.size(), 2u);
  const NumaNode& node = memory.nodes[1];
  EXPECT_EQ(node.id, 1);
  EXPECT_EQ(node.cpus.ToString(), "4-7");
  EXPECT_EQ(node.memory_total_bytes, 4096 * kMiB);
  EXPECT_EQ(node.memory_free_bytes, 2048 * kMiB);
  EXPECT_EQ(node.memory_available_bytes, 2049 * kMiB);  // And the page cache's inactive part.
  EXPECT_EQ(node.huge_pages, (std::vector<HugePagePool>{{2 * kMiB, 512, 0, 0}, {kGiB, 2, 1, 0}}));
  EXPECT_EQ(node.distances, (std::vector<int>{21, 10}));
  EXPECT_EQ(memory.total_bytes, 8192 * kMiB);
  EXPECT_EQ(memory.default_huge_page_bytes, 2 * kMiB);
}

TEST(ReadMemory, KeepsNodeNumbersThatDoNotFollowEachOther) {
  HostTree tree;
  for (const char* node : {"0", "8", "250"}) {
    tree.Write(std::string("sys/devices/system/node/node") + node + "/cpulist", "\n");
  }
  tree.Write("sys/devices/system/node/online", "0,8,250\n");
  tree.Write("sys/devices/system/node/node8/distance", "40 10\n");  // One too few.
  const MemoryTopology memory = ReadMemory(tree.roots());
  ASSERT_EQ(memory.nodes.size(), 3u);
  EXPECT_EQ(memory.nodes[2].id, 250);
  EXPECT_TRUE(memory.Find(8)->distances.empty());
  EXPECT_EQ(memory.Find(1), nullptr);
}

TEST(ReadMemory, MakesOneNodeOfAHostWithoutNuma) {
  HostTree tree;
  tree.Write("sys/devices/system/cpu/present", "0-3\n");
  tree.Write("proc/meminfo", "MemTotal: 1024 kB\nMemFree: 512 kB\nMemAvailable: 600 kB\n");
  tree.Write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "3\n");
  const MemoryTopology memory = ReadMemory(tree.roots());
  ASSERT_EQ(memory.nodes.size(), 1u);
  EXPECT_EQ(memory.nodes[0].cpus.ToString(), "0-3");
  EXPECT_EQ(memory.nodes[0].memory_available_bytes, 600 * kKiB);
  EXPECT_EQ(memory.nodes[0].huge_pages, (std::vector<HugePagePool>{{2 * kMiB, 3, 0, 0}}));
}

TEST(ReadMemory, SurvivesATreeOfNonsense) {
  HostTree tree;
  const std::string node = "sys/devices/system/node/node0/";
  tree.Write(node + "meminfo", "Node 0 MemTotal: -5 kB\nNode\n:\nMemFree: 99999999999999999999 kB\n");
  tree.Write(node + "distance", "ten\n");
  for (const char* name : {"hugepages-kB", "hugepages--1kB", "hugepages-99999999999999kB", "other"}) {
    tree.Write(node + "hugepages/" + name + "/nr_hugepages", "1\n");
  }
  tree.Write(node + "hugepages/hugepages-64kB/nr_hugepages", "-7\n");
  tree.Write("sys/devices/system/node/node-1/cpulist", "0\n");
  tree.Write("sys/devices/system/node/nodes/cpulist", "0\n");
  const MemoryTopology memory = ReadMemory(tree.roots());
  ASSERT_EQ(memory.nodes.size(), 1u);
  EXPECT_EQ(memory.nodes[0].memory_total_bytes, 0u);
  EXPECT_EQ(memory.nodes[0].huge_pages, (std::vector<HugePagePool>{{64 * kKiB, 0, 0, 0}}));
}

}  // namespace
}  // namespace berth::host

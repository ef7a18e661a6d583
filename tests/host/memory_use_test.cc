#include "host/memory_use.h"

#include <gmock/gmock.h>

#include "base/bytes.h"
#include "host/ksm.h"
#include "tests/fakes/host_tree.h"

namespace berth::host {
namespace {

constexpr char kPressure[] =
    "some avg10=12.34 avg60=1.00 avg300=0.10 total=123456\nfull avg10=1.50 avg60=0.00 avg300=0.00 "
    "total=789\n";

TEST(Pressure, IsReadAsTheKernelWritesIt) {
  const auto pressure = ParsePressure(kPressure);
  ASSERT_TRUE(pressure);
  EXPECT_EQ(*pressure, (Pressure{.some = {12.34, 123456}, .full = {1.5, 789}}));
  EXPECT_EQ(ParsePressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n")->some.total_us, 5u);
}

TEST(Pressure, NonsenseIsNone) {
  for (const char* text : {"", "full avg10=0 avg60=0 avg300=0 total=1",
                           "some avg10=101 avg60=0 avg300=0 total=1", "some avg10=x avg60=0 avg300=0 total=1",
                           "some avg10=1 avg60=0 total=1", "some avg10=1 avg60=0 avg300=0 total=-1"}) {
    EXPECT_FALSE(ParsePressure(text)) << text;
  }
  EXPECT_FALSE(ReadPressure("/nowhere/memory.pressure"));
}

TEST(MemoryUse, IsThatOfMeminfo) {
  HostTree tree;
  tree.Write("proc/meminfo",
             "MemTotal:  1024 kB\nMemFree: 10 kB\nMemAvailable: 512 kB\nSwapTotal: 100 kB\nSwapFree: 90 kB\n"
             "Zswap: 3 kB\nZswapped: 8 kB\n");
  tree.Write("proc/pressure/memory", kPressure);
  const MemoryUse use = ReadMemoryUse(tree.roots());
  EXPECT_EQ(use.total_bytes, kMiB);
  EXPECT_EQ(use.available_bytes, 512 * kKiB);
  EXPECT_EQ(use.swap_free_bytes, 90 * kKiB);
  EXPECT_EQ(use.zswapped_bytes, 8 * kKiB);
  EXPECT_EQ(use.zswap_pool_bytes, 3 * kKiB);
  EXPECT_EQ(use.pressure->some.total_us, 123456u);
}

TEST(CgroupMemory, TellsGuestMemoryFromTheRest) {
  HostTree tree;
  EXPECT_FALSE(ReadCgroupMemory(tree.roots(), "berth/web"));
  const std::string group = "sys/fs/cgroup/berth/web/";
  tree.Write(group + "memory.current", "1000000\n");
  tree.Write(group + "memory.max", "max\n");
  tree.Write(group + "memory.stat",
             "anon 1000\nfile 5000\nkernel 300\npagetables 20\nsec_pagetables 30\nshmem 4000\n"
             "workingset_refault_anon 7\n");
  tree.Write(group + "memory.events", "low 0\noom 1\noom_kill 2\n");
  const auto memory = ReadCgroupMemory(tree.roots(), "berth/web");
  ASSERT_TRUE(memory);
  EXPECT_FALSE(memory->limit_bytes);
  EXPECT_EQ(memory->shared_bytes, 4000u);
  EXPECT_EQ(memory->file_bytes, 1000u);
  EXPECT_EQ(memory->page_table_bytes, 50u);
  EXPECT_EQ(memory->refaulted_pages, 7u);
  EXPECT_EQ(memory->oom_kills, 2u);
  tree.Write(group + "memory.max", "4096\n");
  EXPECT_EQ(ReadCgroupMemory(tree.roots(), "berth/web")->limit_bytes, 4096u);
}

TEST(CpuUse, IsThatOfTheCgroupAndTheThread) {
  HostTree tree;
  tree.Write("sys/fs/cgroup/berth/web/cpu.stat", "usage_usec 12\nuser_usec 5\nthrottled_usec 3\n");
  tree.Write("proc/7/task/8/schedstat", "1000 250 9\n");
  EXPECT_EQ(ReadCgroupCpu(tree.roots(), "berth/web")->used_us, 12u);
  EXPECT_EQ(ReadCgroupCpu(tree.roots(), "berth/web")->throttled_us, 3u);
  EXPECT_EQ(ReadRunDelay(tree.roots(), 7, 8), 250u);
  EXPECT_FALSE(ReadRunDelay(tree.roots(), 7, 9));
}

TEST(Ksm, IsReadWhereThereIsOne) {
  HostTree tree;
  EXPECT_FALSE(ReadKsm(tree.roots()));
  for (const auto& [name, value] : {std::pair("run", "1"),
                                    {"pages_to_scan", "100"},
                                    {"sleep_millisecs", "20"},
                                    {"merge_across_nodes", "0"},
                                    {"pages_shared", "5"},
                                    {"pages_sharing", "50"},
                                    {"full_scans", "3"}}) {
    tree.Write(std::string("sys/kernel/mm/ksm/") + name, value);
  }
  const auto ksm = ReadKsm(tree.roots());
  ASSERT_TRUE(ksm);
  EXPECT_EQ(ksm->settings,
            (KsmSettings{.run = 1, .pages_to_scan = 100, .sleep_ms = 20, .merge_across_nodes = false}));
  EXPECT_EQ(ksm->pages_sharing, 50u);
}

}  // namespace
}  // namespace berth::host

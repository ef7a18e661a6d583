#include "host/control/cgroup.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_kernel.h"

namespace berth::host {
namespace {

using ::testing::ElementsAre;

class CgroupTest : public ::testing::Test {
 protected:
  CgroupTest() : kernel_(tree_) { tree_.AddCgroupMount(); }

  CgroupChange Plan() {
    return PlanCgroup(
               tree_.roots(), "web1", {.cpus = {0, 1, 2}, .memory_nodes = {0}, .cpu_weight = 200},
               {{.name = "vcpu0", .limits = {.cpus = {1}}}, {.name = "emulator", .limits = {.cpus = {2}}}})
        .value();
  }

  HostTree tree_;
  FakeKernel kernel_;
};

TEST_F(CgroupTest, MakesAThreadedDomainWithAChildForEveryKindOfThread) {
  const CgroupChange change = Plan();
  ASSERT_TRUE(CreateCgroup(kernel_.control(), change));
  EXPECT_EQ(tree_.Read("sys/fs/cgroup/berth/web1/vcpu0/cgroup.type"), "threaded\n");
  EXPECT_EQ(ReadCgroup(tree_.roots(), change, "vcpu0")->effective_cpus, CpuSet{1});
  const CgroupState whole = ReadCgroup(tree_.roots(), change, "").value();
  EXPECT_EQ(whole.limits.cpus, change.limits.cpus);
  EXPECT_EQ(whole.limits.cpu_weight, change.limits.cpu_weight);
  EXPECT_EQ(whole.effective_memory_nodes, CpuSet{0});
  EXPECT_THAT(ListGuestCgroups(tree_.roots()), ElementsAre("web1"));
}

TEST_F(CgroupTest, MovesProcessAndThreads) {
  const CgroupChange change = Plan();
  ASSERT_TRUE(CreateCgroup(kernel_.control(), change));
  ASSERT_TRUE(MoveProcess(kernel_.control(), change, 4711));
  ASSERT_TRUE(MoveThread(kernel_.control(), change, "vcpu0", 4712));
  EXPECT_THAT(ProcessesOf(tree_.roots(), change), ElementsAre(4711));
  EXPECT_THAT(ReadCgroup(tree_.roots(), change, "vcpu0")->threads, ElementsAre(4712));
  const Status moved = MoveThread(kernel_.control(), change, "io7", 1);
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().reason(), "CGROUP_MOVE_FAILED");
}

TEST_F(CgroupTest, RemovalKillsAndLeavesNothing) {
  const auto before = tree_.Dump();
  const CgroupChange change = Plan();
  ASSERT_TRUE(CreateCgroup(kernel_.control(), change));
  ASSERT_TRUE(MoveProcess(kernel_.control(), change, 4711));
  ASSERT_TRUE(RemoveCgroup(kernel_.control(), change));
  tree_.Write("sys/fs/cgroup/cgroup.subtree_control", "\n");  // Stays, by contract.
  EXPECT_EQ(Difference(before, tree_.Dump()), "");
  EXPECT_TRUE(RemoveCgroup(kernel_.control(), change));
}

TEST_F(CgroupTest, NamesTheProcessesThatDoNotDie) {
  const CgroupChange change = Plan();
  ASSERT_TRUE(CreateCgroup(kernel_.control(), change));
  ASSERT_TRUE(MoveProcess(kernel_.control(), change, 4711));
  kernel_.Ignore("cgroup.kill");
  const Status removed = RemoveCgroup(kernel_.control(), change);
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(removed.error().reason(), "CGROUP_NOT_EMPTY");
  EXPECT_THAT(removed.error().message(), ::testing::HasSubstr("4711"));
}

TEST_F(CgroupTest, FindsCpusThatTheParentDoesNotHave) {
  tree_.Write("sys/fs/cgroup/cpuset.cpus.effective", "0-1\n");
  const CgroupChange change = Plan();  // Wants 2 as well.
  const Status created = CreateCgroup(kernel_.control(), change);
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().reason(), "CGROUP_LIMIT_NOT_HELD");
  EXPECT_FALSE(tree_.Has("sys/fs/cgroup/berth"));
}

TEST_F(CgroupTest, IsUndoneAfterACrashAtEveryStep) {
  const auto before = tree_.Dump();
  for (int step = 1;; ++step) {
    const CgroupChange change = Plan();
    kernel_.CrashAt(step, step % 2 == 0);
    bool crashed = false;
    try {
      ASSERT_TRUE(CreateCgroup(kernel_.control(), change));
    } catch (const Crash&) {
      crashed = true;
    }
    kernel_.CrashAt(0, false);
    ASSERT_TRUE(RemoveCgroup(kernel_.control(), change));
    tree_.Write("sys/fs/cgroup/cgroup.subtree_control", "\n");
    ASSERT_EQ(Difference(before, tree_.Dump()), "") << "after step " << step;
    if (!crashed) break;
    ASSERT_LT(step, 100);
  }
}

TEST_F(CgroupTest, EveryLimitIsTheKernelsFile) {
  const CgroupLimits limits{.cpu_max_millicpu = 1500,
                            .memory_min = 4097,
                            .memory_low = 8192,
                            .memory_high = 1 << 20,
                            .memory_max = 2 << 20,
                            .io_weight = 50,
                            .io_max = {{.device = "8:0", .write_bytes = 1000}}};
  const auto change = PlanCgroup(tree_.roots(), "web1", limits, {}).value();
  ASSERT_TRUE(CreateCgroup(kernel_.control(), change));
  const std::string path = "sys/fs/cgroup/berth/web1/";
  EXPECT_EQ(tree_.Read(path + "cpu.max"), "150000 100000\n");
  EXPECT_EQ(tree_.Read(path + "memory.min"), "4096\n");
  EXPECT_EQ(tree_.Read(path + "memory.max"), "2097152\n");
  EXPECT_EQ(tree_.Read(path + "io.max"), "8:0 rbps=max wbps=1000 riops=max wiops=max\n");
  EXPECT_TRUE(FindDifferences(tree_.path() + "/" + path, limits).empty());

  tree_.Write(path + "cpu.max", "max 100000\n");
  tree_.Write(path + "memory.high", "max\n");  // The autopilot's to change.
  EXPECT_THAT(FindDifferences(tree_.path() + "/" + path, limits),
              ElementsAre("cpu.max is max 100000, not 150000 100000"));
}

TEST_F(CgroupTest, TheParentProtectsWhatItsGuestsAreProtectedFor) {
  for (const char* name : {"a", "b"}) {
    const auto change = PlanCgroup(tree_.roots(), name, {.memory_min = 1 << 20}, {}).value();
    ASSERT_TRUE(CreateCgroup(kernel_.control(), change));
  }
  EXPECT_EQ(tree_.Read("sys/fs/cgroup/berth/memory.min"), "2097152\n");
  ASSERT_TRUE(RemoveCgroup(kernel_.control(), {.path = "berth/a", .limits = {}, .children = {}}));
  EXPECT_EQ(tree_.Read("sys/fs/cgroup/berth/memory.min"), "1048576\n");
}

TEST_F(CgroupTest, ADelegatedParentKeepsItsProcessesAndStays) {
  HostControl control = kernel_.control();
  control.roots.guests_cgroup = "system.slice/guests.service";
  EXPECT_EQ(PlanCgroup(control.roots, "web1", {}, {}).error().reason(), "CGROUP_PARENT_NOT_FOUND");
  const std::string parent = "sys/fs/cgroup/system.slice/guests.service/";
  tree_.Write(parent + "cgroup.controllers", "cpuset cpu io memory\n");
  tree_.Write(parent + "cgroup.subtree_control", "\n");
  tree_.Write(parent + "cgroup.procs", "17\n");
  const auto change = PlanCgroup(control.roots, "web1", {.cpus = {1}}, {}).value();
  ASSERT_TRUE(CreateCgroup(control, change));
  EXPECT_EQ(tree_.Read(parent + "keeper/cgroup.procs"), "\n17\n");
  EXPECT_THAT(ListGuestCgroups(control.roots), ElementsAre("web1"));
  ASSERT_TRUE(RemoveCgroup(control, change));
  EXPECT_FALSE(tree_.Has(parent + "web1"));
  EXPECT_TRUE(tree_.Has(parent + "keeper/cgroup.procs"));
}

TEST_F(CgroupTest, PlanRefusesWhatCannotBe) {
  const auto reason = [&](const std::string& guest, const CgroupLimits& limits,
                          const std::vector<CgroupChild>& children) {
    const auto change = PlanCgroup(tree_.roots(), guest, limits, children);
    return change ? "" : change.error().reason();
  };
  EXPECT_EQ(reason("../x", {}, {}), "BAD_CGROUP_NAME");
  EXPECT_EQ(reason("", {}, {}), "BAD_CGROUP_NAME");
  EXPECT_EQ(reason("a", {}, {{.name = "cgroup.procs"}}), "BAD_CGROUP_NAME");
  EXPECT_EQ(reason("a", {.cpu_weight = 0}, {}), "BAD_CPU_WEIGHT");
  EXPECT_EQ(reason("a", {.cpu_weight = 10001}, {}), "BAD_CPU_WEIGHT");
  EXPECT_EQ(reason("a", {.cpu_max_millicpu = 9}, {}), "BAD_CPU_MAX");
  EXPECT_EQ(reason("a", {.io_weight = 0}, {}), "BAD_IO_WEIGHT");
  ASSERT_TRUE(CreateCgroup(kernel_.control(), Plan()));
  EXPECT_EQ(reason("web1", {}, {}), "CGROUP_EXISTS");
  tree_.Write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
  EXPECT_EQ(reason("a", {}, {}), "CGROUP_CONTROLLER_MISSING");
  tree_.Remove("sys/fs/cgroup/cgroup.controllers");
  EXPECT_EQ(reason("a", {}, {}), "CGROUP_V2_REQUIRED");
}

}  // namespace
}  // namespace berth::host

#include "server/guest/executor.h"

#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include "server/store/guest_table.h"
#include "tests/fakes/fake_host.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::server {
namespace {

using testing::ElementsAre;
using testing::Pair;

const host::PciAddress kNic = *host::PciAddress::Parse("0000:01:00.0");

// One step of every kind.
std::vector<Step> AllSteps(const ScratchDir& scratch) {
  return {RuntimeDirectoryStep{scratch / "run/uid-a"},
          TapStep{.owner = "uid-a/net0", .bridge = "br0", .queues = 2},
          VfsStep{.physical_function = kNic, .count = 7},
          VfSettingsStep{.physical_function = kNic, .vf_index = 2, .wanted = {.mac = "52:54:00:00:00:07"}},
          DriverStep{.physical_function = kNic, .vf_index = 2},
          MdevStep{.uuid = "11111111-2222-4333-8444-666666666666", .parent = "mtty", .type = "mtty-2"},
          CgroupStep{.guest = "a"}};
}

class ExecutorTest : public testing::Test {
 protected:
  ExecutorTest() {
    GuestTable guests(*database_);
    for (const char* id : {"a", "b"}) {
      StoredGuest stored;
      stored.guest.set_name(std::string("guests/") + id);
      stored.guest.set_uid(std::string("uid-") + id);
      EXPECT_TRUE(guests.Insert(stored, {}));
    }
  }

  static Status Proceed(const Step&) { return Ok(); }

  const ScratchDir scratch_;
  std::unique_ptr<Database> database_ = *Database::Open(":memory:");
  StepTable table_{*database_};
};

TEST_F(ExecutorTest, DoesAndUndoesEveryKindOfStep) {
  FakeHost host(scratch_ / "host");
  StepExecutor executor(host, table_);
  const auto results = executor.Run("uid-a", AllSteps(scratch_), Proceed);
  ASSERT_TRUE(results) << results.error().message();
  EXPECT_EQ(host.Changes().size(), 7u);
  EXPECT_EQ(results->taps.at("uid-a/net0").size(), 2u);
  EXPECT_FALSE(results->cgroup.empty());
  ASSERT_TRUE(executor.Undo("uid-a"));
  EXPECT_TRUE(host.Changes().empty());
  EXPECT_TRUE(*executor.IsClean("uid-a"));
}

// A device that came later is the process's all the same.
TEST_F(ExecutorTest, TheProcessEndsBeforeItsDevicesAreTakenAway) {
  FakeHost host(scratch_ / "host");
  StepExecutor executor(host, table_);
  const pid_t child = ::fork();
  if (child == 0) {
    while (true) ::pause();
  }
  ASSERT_TRUE(executor.Run("uid-a", {ProcessStep{child}}, Proceed));
  ASSERT_TRUE(executor.Run("uid-a", {DriverStep{.address = host::PciAddress{0, 3, 0, 0}}}, Proceed, "gpu"));
  ASSERT_TRUE(executor.Undo("uid-a"));
  EXPECT_THAT(host.log(), ElementsAre("apply process", "apply driver 0000:03:00.0", "undo process",
                                      "undo driver 0000:03:00.0"));
  (void)::waitpid(child, nullptr, 0);
}

TEST_F(ExecutorTest, AStepOfADeviceIsUndoneAlone) {
  FakeHost host(scratch_ / "host");
  StepExecutor executor(host, table_);
  ASSERT_TRUE(executor.Run("uid-a", {CgroupStep{.guest = "a"}}, Proceed));
  ASSERT_TRUE(executor.Run("uid-a", {DriverStep{.address = host::PciAddress{0, 3, 0, 0}}}, Proceed, "gpu"));
  ASSERT_TRUE(executor.UndoDevice("uid-a", "gpu"));
  EXPECT_THAT(host.Changes(), ElementsAre(Pair("cgroup a", "there")));
  ASSERT_TRUE(executor.Undo("uid-a"));
  EXPECT_TRUE(host.Changes().empty());
}

TEST_F(ExecutorTest, AFailedStepIsUndoneWithThoseBeforeIt) {
  FakeHost host(scratch_ / "host");
  StepExecutor executor(host, table_);
  host.FailApply("driver");
  const auto results = executor.Run("uid-a", AllSteps(scratch_), Proceed);
  ASSERT_FALSE(results);
  EXPECT_EQ(results.error().reason(), "HOST_REFUSES");
  ASSERT_TRUE(executor.Undo("uid-a"));
  EXPECT_TRUE(host.Changes().empty());
}

TEST_F(ExecutorTest, CanBeStoppedBetweenSteps) {
  FakeHost host(scratch_ / "host");
  StepExecutor executor(host, table_);
  const auto results = executor.Run("uid-a", AllSteps(scratch_), [](const Step& step) -> Status {
    if (KindOf(step) == "mdev") return Fail(Code::kCancelled, "enough");
    return Ok();
  });
  ASSERT_FALSE(results);
  EXPECT_EQ(results.error().code(), Code::kCancelled);
  ASSERT_TRUE(executor.Undo("uid-a"));
  EXPECT_TRUE(host.Changes().empty());
}

// The daemon ends before or right after each single change; the next one finds what is left and puts it back.
TEST_F(ExecutorTest, ADaemonThatDiesAnywhereLeavesNothingForGood) {
  for (int change = 0; change < 7; ++change) {
    for (const bool after : {false, true}) {
      SCOPED_TRACE(testing::Message() << "change " << change << (after ? " done" : " not done"));
      const std::string directory = scratch_ / (std::to_string(change) + (after ? "a" : "b"));
      {
        FakeHost host(directory);
        host.StopAt(change, after);
        StepExecutor executor(host, table_);
        ASSERT_FALSE(executor.Run("uid-a", AllSteps(scratch_), Proceed));
        ASSERT_EQ(host.Changes().size(), static_cast<size_t>(change + after));
      }
      FakeHost host(directory);
      StepExecutor next(host, table_);
      ASSERT_TRUE(next.Undo("uid-a"));
      EXPECT_TRUE(host.Changes().empty());
      EXPECT_TRUE(*next.IsClean("uid-a"));
    }
  }
}

TEST_F(ExecutorTest, ADaemonThatDiesWhileUndoingGoesOnAfterwards) {
  for (int change = 7; change < 14; ++change) {
    for (const bool after : {false, true}) {
      SCOPED_TRACE(testing::Message() << "change " << change << (after ? " done" : " not done"));
      const std::string directory = scratch_ / (std::to_string(change) + (after ? "a" : "b"));
      {
        FakeHost host(directory);
        host.StopAt(change, after);
        StepExecutor executor(host, table_);
        ASSERT_TRUE(executor.Run("uid-a", AllSteps(scratch_), Proceed));
        ASSERT_FALSE(executor.Undo("uid-a"));
      }
      FakeHost host(directory);
      StepExecutor next(host, table_);
      ASSERT_TRUE(next.Undo("uid-a"));
      EXPECT_TRUE(host.Changes().empty());
    }
  }
}

TEST_F(ExecutorTest, WhatCannotBeUndoneStaysOnRecordAndKeepsNothingElse) {
  FakeHost host(scratch_ / "host");
  StepExecutor executor(host, table_);
  ASSERT_TRUE(executor.Run("uid-a", AllSteps(scratch_), Proceed));
  host.FailUndo("driver");
  const Status undone = executor.Undo("uid-a");
  ASSERT_FALSE(undone);
  EXPECT_EQ(undone.error().reason(), "HOST_REFUSES");
  EXPECT_THAT(host.Changes(), ElementsAre(Pair("driver 0000:01:10.4", "vfio-pci")));
  EXPECT_FALSE(*executor.IsClean("uid-a"));
  host.Heal();
  ASSERT_TRUE(executor.Undo("uid-a"));
  EXPECT_TRUE(host.Changes().empty());
}

TEST_F(ExecutorTest, VirtualFunctionsGoWithTheLastOfTheirUsers) {
  FakeHost host(scratch_ / "host");
  StepExecutor executor(host, table_);
  const std::vector<Step> steps = {VfsStep{.physical_function = kNic, .count = 7}};
  ASSERT_TRUE(executor.Run("uid-a", steps, Proceed));
  ASSERT_TRUE(executor.Run("uid-b", steps, Proceed));
  ASSERT_TRUE(executor.Undo("uid-a"));
  EXPECT_THAT(host.Changes(), ElementsAre(Pair("vfs 0000:01:00.0", "7")));
  ASSERT_TRUE(executor.Undo("uid-b"));
  EXPECT_TRUE(host.Changes().empty());
}

}  // namespace
}  // namespace berth::server

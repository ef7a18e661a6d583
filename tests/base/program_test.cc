#include "base/program.h"

#include <signal.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/scratch_dir.h"

namespace berth {
namespace {

using testing::HasSubstr;

constexpr std::chrono::seconds kLong{60};

std::string Script(const ScratchDir& scratch, const std::string& text) {
  std::string path = scratch.Write("program", "#!/bin/sh\n" + text);
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

TEST(RunProgram, HasItsOutputErrorsAndStatus) {
  const ScratchDir scratch;
  const auto ran = RunProgram({Script(scratch, "echo \"$2-$1\"; echo no >&2; exit 7"), "a b", "$c"}, kLong);
  ASSERT_TRUE(ran) << ran.error().message();
  EXPECT_EQ(ran->output, "$c-a b\n") << "no shell has seen the words";
  EXPECT_EQ(ran->errors, "no\n");
  EXPECT_EQ(ran->status, 7);
  EXPECT_EQ(RunProgram({Script(scratch, "kill -9 $$")}, kLong)->status, 128 + SIGKILL);
}

TEST(RunProgram, GivesItNothingOfThisProcess) {
  const ScratchDir scratch;
  ::setenv("BERTH_TEST_SECRET", "1", 1);
  const auto ran =
      RunProgram({Script(scratch, "env; read line; echo read=$?; ls /proc/self/fd | wc -l")}, kLong);
  ASSERT_TRUE(ran);
  EXPECT_THAT(ran->output, testing::Not(HasSubstr("BERTH_TEST_SECRET")));
  EXPECT_THAT(ran->output, HasSubstr("LC_ALL=C"));
  EXPECT_THAT(ran->output, HasSubstr("read=1\n4\n")) << "an empty input; three descriptors and ls's own";
}

TEST(RunProgram, MoreThanAPipeHoldsIsRead) {
  const ScratchDir scratch;
  const auto ran = RunProgram({Script(scratch, "head -c 1000000 /dev/zero; echo end >&2")}, kLong);
  ASSERT_TRUE(ran);
  EXPECT_EQ(ran->output.size(), 1000000u);
  EXPECT_EQ(ran->errors, "end\n");
}

TEST(RunProgram, WhatHangsIsKilledWithWhatItStarted) {
  const ScratchDir scratch;
  const std::string pid_file = scratch / "pid";
  const auto ran = RunProgram({Script(scratch, "sleep 1000 & echo $! >" + pid_file + "; wait")},
                              std::chrono::milliseconds(500));
  EXPECT_EQ(ran.error().code(), Code::kDeadlineExceeded);
  EXPECT_THAT(ran.error().message(), HasSubstr("did not end within 500 ms"));
  pid_t child = 0;
  std::ifstream(pid_file) >> child;
  if (child == 0) return;  // It was not that far.
  const auto is_there = [child] {
    std::string state;
    std::ifstream stat(fmt::format("/proc/{}/stat", child));
    std::getline(stat, state);
    return !state.empty() && state.find(") Z") == state.npos;
  };
  while (is_there()) std::this_thread::yield();
}

TEST(RunProgram, WhatItLeavesInTheBackgroundIsNotWaitedFor) {
  const ScratchDir scratch;
  const auto ran = RunProgram({Script(scratch, "sleep 1000 & echo $!")}, kLong);
  ASSERT_TRUE(ran) << ran.error().message();
  EXPECT_EQ(ran->status, 0);
  EXPECT_EQ(::kill(std::stoi(ran->output), SIGKILL), 0) << "it holds the pipe's end all the while";
}

TEST(RunProgram, AProgramThatTalksWithoutEndIsStopped) {
  const ScratchDir scratch;
  EXPECT_EQ(RunProgram({Script(scratch, "yes")}, kLong).error().code(), Code::kResourceExhausted);
}

TEST(RunProgram, OneThatIsNotThereIsSaid) {
  const ScratchDir scratch;
  EXPECT_EQ(RunProgram({scratch / "none"}, kLong).error().code(), Code::kNotFound);
  EXPECT_EQ(RunProgram({scratch.Write("plain", "")}, kLong).error().code(), Code::kPermissionDenied);
}

}  // namespace
}  // namespace berth

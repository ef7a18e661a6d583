#include "server/guest/process.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace berth::server {
namespace {

pid_t StartSleeper() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    while (true) ::pause();
  }
  return pid;
}

TEST(Process, IsItselfAndNotALaterOneOfTheSameNumber) {
  ProcessChange self = *DescribeProcess("/proc", ::getpid());
  EXPECT_TRUE(OpenProcess("/proc", self));
  ++self.start_time;
  EXPECT_EQ(OpenProcess("/proc", self).error().reason(), "PROCESS_NOT_FOUND");
}

TEST(Process, EndsTheOneThatWasMeant) {
  const pid_t pid = StartSleeper();
  ProcessChange process = *DescribeProcess("/proc", pid);
  ++process.start_time;
  EXPECT_TRUE(EndProcess("/proc", process, 1000)) << "another process of that number: nothing to do";
  EXPECT_EQ(::kill(pid, 0), 0);
  --process.start_time;
  EXPECT_TRUE(EndProcess("/proc", process, 10'000));
  EXPECT_NE(::kill(pid, 0), 0) << "ended and reaped";
  EXPECT_TRUE(EndProcess("/proc", process, 1000)) << "once more is fine";
}

TEST(Process, KnowsItsThreads) {
  EXPECT_TRUE(HasThread("/proc", ::getpid(), ::gettid()));
  EXPECT_FALSE(HasThread("/proc", ::getpid(), 1));
  EXPECT_FALSE(HasThread("/proc", ::getpid(), -1));
}

}  // namespace
}  // namespace berth::server

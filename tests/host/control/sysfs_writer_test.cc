#include "host/control/sysfs_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <gtest/gtest.h>

#include "base/unique_fd.h"
#include "tests/fakes/host_tree.h"

namespace berth::host {
namespace {

constexpr std::chrono::milliseconds kLong{10'000};

TEST(SysfsWriter, WritesOnceAndWhole) {
  HostTree tree;
  tree.Write("sys/file", "");
  EXPECT_EQ(CreateSysfsWriter()->Write(tree.path() + "/sys/file", "0000:08:00.0", kLong), 0);
  EXPECT_EQ(tree.Read("sys/file"), "0000:08:00.0");
}

TEST(SysfsWriter, GivesTheKernelsErrno) {
  const auto writer = CreateSysfsWriter();
  EXPECT_EQ(writer->Write("/nonexistent/file", "1", kLong), ENOENT);
  EXPECT_EQ(writer->Write("/dev/full", "1", kLong), ENOSPC);
  EXPECT_EQ(writer->MakeDirectory("/proc/x"), ENOENT);
  EXPECT_EQ(writer->RemoveDirectory("/nonexistent"), ENOENT);
}

// A full pipe that nobody reads stands for an unbind that the kernel does not finish.
TEST(SysfsWriter, GivesUpOnAWriteThatDoesNotEnd) {
  HostTree tree;
  const std::string path = tree.path() + "/pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  UniqueFd reader(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(reader);
  const std::string filling(4096, 'x');
  while (::write(reader.get(), filling.data(), filling.size()) > 0) continue;
  const auto writer = CreateSysfsWriter();
  EXPECT_EQ(writer->Write(path, "1", std::chrono::milliseconds(20)), ETIMEDOUT);
  EXPECT_EQ(writer->Write("/dev/null", "1", kLong), 0);  // And goes on.
}

// An inherited VFIO group would be what the kernel waits for.
TEST(SysfsWriter, ItsChildHoldsNoDescriptorOfOurs) {
  HostTree tree;
  const std::string path = tree.path() + "/pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  UniqueFd reader(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  const std::string filling(4096, 'x');
  while (::write(reader.get(), filling.data(), filling.size()) > 0) continue;
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  const UniqueFd watched(ends[0]);
  UniqueFd held(ends[1]);
  const auto writer = CreateSysfsWriter();
  ASSERT_EQ(writer->Write(path, "1", std::chrono::milliseconds(20)), ETIMEDOUT);
  held.Reset();
  char byte;
  EXPECT_EQ(::read(watched.get(), &byte, 1), 0);  // The end of the pipe: nobody else holds its other side.
}

}  // namespace
}  // namespace berth::host

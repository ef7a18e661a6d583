#include "block/file_info.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/unique_fd.h"

namespace berth::block {
namespace {

TEST(DescribeFile, AFileThroughThePageCacheTakesAnything) {
  UniqueFd file(::memfd_create("info-test", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), 12345), 0);
  const auto info = DescribeFile(file.get());
  ASSERT_TRUE(info);
  EXPECT_EQ(info->size_bytes, 12345u);
  EXPECT_FALSE(info->direct);
  EXPECT_FALSE(info->is_block_device);
  EXPECT_FALSE(info->limits.read_only);
  EXPECT_EQ(info->limits.block_size_bytes, 1u);
  EXPECT_EQ(info->limits.memory_alignment_bytes, 1u);
}

TEST(DescribeFile, ADescriptorOpenForReadingIsReadOnly) {
  const UniqueFd file = *Open("/proc/self/exe", O_RDONLY);
  EXPECT_TRUE(DescribeFile(file.get())->limits.read_only);
}

// Needs a file system that has O_DIRECT where the tests run; all that are in use do (tmpfs since Linux 6.6).
TEST(DescribeFile, DirectFilesSayTheirAlignment) {
  const std::string path = testing::TempDir() + "/berth-info-test-" + std::to_string(::getpid());
  auto opened = Open(path, O_RDWR | O_CREAT | O_EXCL | O_DIRECT, 0600);
  ::unlink(path.c_str());
  if (!opened) GTEST_SKIP() << "no O_DIRECT in " << testing::TempDir();
  const auto info = DescribeFile(opened->get());
  ASSERT_TRUE(info);
  EXPECT_TRUE(info->direct);
  EXPECT_TRUE(IsPowerOfTwo(info->limits.block_size_bytes));
  EXPECT_TRUE(IsPowerOfTwo(info->limits.memory_alignment_bytes));
  EXPECT_GE(info->limits.physical_block_size_bytes, info->limits.block_size_bytes);
}

TEST(DescribeFile, WhatIsNoDiskIsRefused) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  const UniqueFd one(pair[0]), other(pair[1]);
  const UniqueFd directory = *Open("/", O_RDONLY | O_DIRECTORY);
  const UniqueFd device = *Open("/dev/null", O_RDWR);
  const UniqueFd write_only = *Open("/dev/null", O_WRONLY);
  const UniqueFd path_only = *Open("/proc/self/exe", O_PATH);
  for (int fd : {one.get(), directory.get(), device.get(), write_only.get(), path_only.get()}) {
    const auto info = DescribeFile(fd);
    ASSERT_FALSE(info);
    EXPECT_EQ(info.error().code(), Code::kInvalidArgument);
  }
  EXPECT_FALSE(DescribeFile(-1));
}

}  // namespace
}  // namespace berth::block

#include "base/memory_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(MemoryFile, HasItsSizeAndNoPages) {
  const UniqueFd memory = *CreateMemoryFile("guest", 1ull << 40);
  struct stat info {};
  ASSERT_EQ(::fstat(memory.get(), &info), 0);
  EXPECT_EQ(info.st_size, 1ll << 40);
  EXPECT_EQ(info.st_blocks, 0);
  struct statfs where {};
  ASSERT_EQ(::fstatfs(memory.get(), &where), 0);
  EXPECT_EQ(where.f_type, TMPFS_MAGIC);
}

TEST(MemoryFile, IsSharedByAllWhoMapIt) {
  const UniqueFd memory = *CreateMemoryFile("guest", 4096);
  const auto map = [&memory] {
    return static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0));
  };
  char* const one = map();
  char* const other = map();
  ASSERT_NE(one, MAP_FAILED);
  ASSERT_NE(other, MAP_FAILED);
  one[5] = 'x';
  EXPECT_EQ(other[5], 'x');
  ::munmap(one, 4096);
  ::munmap(other, 4096);
}

// mincore(2) knows only what may be known: to others everything is in memory.
TEST(MemoryFile, AnotherUserSeesWhichPagesAreThere) {
  constexpr size_t kPages = 4, kSize = kPages * 4096;
  const UniqueFd memory = *CreateMemoryFile("guest", kSize);
  ASSERT_EQ(::pwrite(memory.get(), "x", 1, 2 * 4096), 1);
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    if (::geteuid() == 0 && ::setresuid(kNobody, kNobody, kNobody) != 0) ::_exit(2);
    void* const mapped = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
    unsigned char there[kPages] = {};
    if (mapped == MAP_FAILED || ::mincore(mapped, kSize, there) != 0) ::_exit(3);
    ::_exit((there[0] & 1) == 0 && (there[2] & 1) == 1 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(MemoryFile, TooLargeIsSaidWithItsName) {
  const Result<UniqueFd> memory = CreateMemoryFile("web-memory0", UINT64_MAX);
  ASSERT_FALSE(memory);
  EXPECT_NE(memory.error().message().find("web-memory0"), std::string::npos) << memory.error().message();
}

}  // namespace
}  // namespace berth

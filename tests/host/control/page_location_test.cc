#include "host/control/page_location.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include <gtest/gtest.h>

namespace berth::host {
namespace {

TEST(ParseMappings, KnowsRangesAndNames) {
  const auto mappings = ParseMappings(
      "7f1000000000-7f1000200000 rw-s 00000000 00:01 2049                       /memfd:web-memory0 "
      "(deleted)\n"
      "7f2000000000-7f2000001000 rw-p 00000000 00:00 0 \n"
      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n");
  ASSERT_EQ(mappings.size(), 3u);
  EXPECT_EQ(mappings[0].start, 0x7f1000000000u);
  EXPECT_EQ(mappings[0].size_bytes, 0x200000u);
  EXPECT_EQ(mappings[0].name, "/memfd:web-memory0 (deleted)");
  EXPECT_EQ(mappings[1].name, "");
  EXPECT_EQ(mappings[2].name, "[vsyscall]");
}

TEST(ParseMappings, LeavesOutWhatIsNoLine) {
  EXPECT_TRUE(ParseMappings("").empty());
  EXPECT_TRUE(ParseMappings("x-y\n\n-\n1000\n2000-1000 rw\n10000000000000000-2 r").empty());
  EXPECT_EQ(ParseMappings("1000-2000").size(), 1u);
}

TEST(CountPagesByNode, CountsWhatIsInMemoryAndNothingElse) {
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  void* memory = ::mmap(nullptr, 8 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::memset(memory, 1, 3 * page);
  const auto counts = CountPagesByNode(::getpid(), reinterpret_cast<uint64_t>(memory), 8 * page, page);
  ::munmap(memory, 8 * page);
  if (!counts && counts.error().message().find("not implemented") != std::string::npos)
    GTEST_SKIP() << "this kernel knows no nodes: " << counts.error().message();
  ASSERT_TRUE(counts) << counts.error().message();
  uint64_t sum = 0;
  for (const auto& [node, pages] : *counts) sum += pages;
  EXPECT_EQ(sum, 3u);
}

}  // namespace
}  // namespace berth::host

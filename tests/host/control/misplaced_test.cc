#include "host/control/misplaced.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/memory_file.h"
#include "host/control/page_location.h"

namespace berth::host {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint64_t kSize = 1036 * kKiB;  // As large as nothing else.

// This process is the monitor, and has a guest's memory mapped.
class FindMisplacedTest : public testing::Test {
 protected:
  FindMisplacedTest() {
    file_ = CreateMemoryFile("web-memory0", kSize).value_or(UniqueFd());
    memory_ = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
    if (memory_ != MAP_FAILED) std::memset(memory_, 1, kSize);
  }
  ~FindMisplacedTest() override { ::munmap(memory_, kSize); }

  static std::vector<std::string> Find(const std::string& name, const CpuSet& nodes) {
    return FindMisplaced(HostRoots(), {.process = ::getpid(),
                                       .memory = {{.name = name, .size_bytes = kSize, .nodes = nodes}}});
  }

  UniqueFd file_;
  void* memory_ = MAP_FAILED;
};

TEST_F(FindMisplacedTest, MemoryIsFoundByTheNameOfItsFile) {
  ASSERT_NE(memory_, MAP_FAILED);
  const auto there = CountPagesByNode(::getpid(), reinterpret_cast<uint64_t>(memory_), kSize, 4096);
  if (!there) GTEST_SKIP() << "this kernel knows no nodes: " << there.error().message();
  const int node = there->begin()->first;

  EXPECT_THAT(Find("web-memory0", {node}), IsEmpty());
  EXPECT_THAT(Find("web-memory0", {node + 1}), ElementsAre(HasSubstr(fmt::format("are on node {}", node))));
  EXPECT_THAT(Find("web-memory", {node}), ElementsAre("web-memory is not mapped"));
}

TEST(FindMisplaced, AProcessThatHasEndedIsNowhere) {
  const pid_t process = ::fork();
  if (process == 0) ::_exit(0);
  ASSERT_GT(process, 0);
  siginfo_t ended;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(process), &ended, WEXITED | WNOWAIT), 0);
  const GuestPlaces places{.process = process,
                           .threads = {{.id = process, .child = "emulator", .cpus = {0}}},
                           .memory = {{.name = "web-memory0", .size_bytes = kSize, .nodes = {0}}}};

  EXPECT_THAT(FindMisplaced(HostRoots(), places), IsEmpty());
  ASSERT_EQ(::waitpid(process, nullptr, 0), process);
  EXPECT_THAT(FindMisplaced(HostRoots(), places), IsEmpty());
}

}  // namespace
}  // namespace berth::host

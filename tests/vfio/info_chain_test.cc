#include "vfio/info_chain.h"

#include <linux/vfio.h>

#include <cerrno>

#include <gmock/gmock.h>

#include "base/bytes.h"

namespace berth::vfio {
namespace {

using testing::ElementsAre;

// Answers every ioctl by asking for more, or not.
struct Kernel final : Syscalls {
  int Ioctl(int, unsigned long, uintptr_t argument) override {
    auto* bytes = reinterpret_cast<uint8_t*>(argument);
    asked.push_back(LoadLe<uint32_t>(bytes));
    if (error != 0) return -error;
    const uint32_t wanted = greedy ? asked.back() * 2 : size;
    StoreLe<uint32_t>(bytes, wanted);
    if (asked.back() >= size) bytes[asked.back() - 1] = 0x5a;
    return 0;
  }
  int64_t Pread(int, void*, size_t, uint64_t) override { return -EBADF; }
  int64_t Pwrite(int, const void*, size_t, uint64_t) override { return -EBADF; }
  intptr_t Map(int, uint64_t, size_t, bool, size_t) override { return -EBADF; }
  void Unmap(void*, size_t) override {}
  void Pause(std::chrono::milliseconds) override {}
  uint32_t size = 100;
  bool greedy = false;
  int error = 0;
  std::vector<uint32_t> asked;
};

struct Question {
  uint32_t argsz;
  uint32_t index;
};

TEST(QueryInfo, AsksAgainWithTheSizeItWasTold) {
  Kernel kernel;
  Question question{.argsz = 0, .index = 3};
  const auto answer = QueryInfo(kernel, 0, 0, &question, "something");
  ASSERT_TRUE(answer);
  EXPECT_THAT(kernel.asked, ElementsAre(8u, 100u));
  EXPECT_EQ(answer->size(), 100u);
  EXPECT_EQ(answer->back(), 0x5a);
  EXPECT_EQ(question.index, 3u);
}

TEST(QueryInfo, GivesUpOnAKernelThatNeverHasEnough) {
  Kernel kernel;
  kernel.greedy = true;
  Question question{};
  EXPECT_FALSE(QueryInfo(kernel, 0, 0, &question, "something"));
  EXPECT_LE(kernel.asked.size(), 10u);
  kernel = {};
  kernel.size = 0x80000000;
  EXPECT_FALSE(QueryInfo(kernel, 0, 0, &question, "something"));
}

TEST(QueryInfo, PassesAnErrorOn) {
  Kernel kernel;
  kernel.error = EPERM;
  Question question{};
  EXPECT_EQ(QueryInfo(kernel, 0, 0, &question, "something").error().code(), Code::kPermissionDenied);
}

// Each of these chains would loop, or leave the buffer.
TEST(ForEachInfoCapability, EndsWhateverTheLinksAre) {
  std::vector<uint8_t> info(64);
  auto put = [&info](uint32_t at, uint16_t id, uint32_t next) {
    const vfio_info_cap_header header{id, 1, next};
    std::memcpy(&info[at], &header, sizeof(header));
  };
  auto ids = [&info](uint32_t first) {
    std::vector<uint16_t> seen;
    ForEachInfoCapability(info, first,
                          [&](uint16_t id, uint16_t, std::span<const uint8_t>) { seen.push_back(id); });
    return seen;
  };
  put(16, 1, 32);
  put(32, 2, 0);
  EXPECT_THAT(ids(16), ElementsAre(1, 2));
  EXPECT_THAT(ids(0), ElementsAre());
  EXPECT_THAT(ids(64), ElementsAre());
  EXPECT_THAT(ids(60), ElementsAre());  // Half a header.
  EXPECT_THAT(ids(0xffffffff), ElementsAre());
  put(32, 2, 0xfffffffc);
  EXPECT_THAT(ids(16), ElementsAre(1, 2));
  put(32, 2, 16);
  EXPECT_LE(ids(16).size(), 8u);
  put(16, 1, 16);
  EXPECT_LE(ids(16).size(), 8u);
}

}  // namespace
}  // namespace berth::vfio

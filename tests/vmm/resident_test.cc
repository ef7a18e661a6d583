#include "vmm/resident.h"

#include <sys/mman.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::vmm {
namespace {

using testing::ElementsAre;

constexpr uint64_t kPages = 10'000;  // More than one call of mincore looks at.

class ResidentTest : public testing::Test {
 protected:
  void SetUp() override {
    page_ = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    void* const mapped =
        ::mmap(nullptr, kPages * page_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(mapped, MAP_FAILED);
    memory_ = static_cast<uint8_t*>(mapped);
  }
  void TearDown() override { ::munmap(memory_, kPages * page_); }
  void Touch(uint64_t first, uint64_t pages) {
    for (uint64_t i = first; i < first + pages; ++i) memory_[i * page_] = 1;
  }
  Range Pages(uint64_t first, uint64_t pages) const { return {first * page_, pages * page_}; }

  uint64_t page_ = 0;
  uint8_t* memory_ = nullptr;
};

TEST_F(ResidentTest, RunsArePagesThatWereTouched) {
  Touch(3, 2);
  Touch(4090, 20);  // Across the calls' boundary: still one run.
  Touch(kPages - 1, 1);
  EXPECT_THAT(ResidentRuns(memory_, kPages * page_, UINT64_MAX),
              ElementsAre(Pages(3, 2), Pages(4090, 20), Pages(kPages - 1, 1)));
}

TEST_F(ResidentTest, NoMoreThanIsAskedFor) {
  Touch(0, 8);
  EXPECT_THAT(ResidentRuns(memory_, kPages * page_, 5 * page_), ElementsAre(Pages(0, 5)));
  EXPECT_THAT(ResidentRuns(memory_, kPages * page_, 0), ElementsAre());
}

TEST_F(ResidentTest, WhatIsNotMappedHasNone) {
  uint8_t* const end = memory_ + kPages * page_;
  ::munmap(end - page_, page_);
  Touch(0, 1);
  EXPECT_THAT(ResidentRuns(end - page_, page_, UINT64_MAX), ElementsAre());
}

}  // namespace
}  // namespace berth::vmm

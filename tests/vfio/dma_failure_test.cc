#include "vfio/dma_failure.h"

#include <cerrno>

#include <gmock/gmock.h>

namespace berth::vfio {
namespace {

using testing::HasSubstr;

const DmaMapping kRam{.iova = 4 * kGiB, .address = nullptr, .size = 2 * kGiB};
const DmaLimits kLimits{.page_sizes = 4 * kKiB, .valid = {{0, 0xfee00000}, {0xfef00000, 512 * kGiB}}};

// docs/assigned-devices.md, 3: locked memory, mappings, pages.
TEST(ExplainMapFailure, NamesTheLimitOnLockedMemory) {
  const Error error = ExplainMapFailure(ENOMEM, kRam, &kLimits, 64 * kKiB, kGiB);
  EXPECT_EQ(error.code(), Code::kResourceExhausted);
  EXPECT_EQ(error.reason(), "DMA_MEMLOCK_LIMIT");
  EXPECT_THAT(error.message(), HasSubstr("2 GiB of guest memory"));
  EXPECT_THAT(error.message(), HasSubstr("beside the 1 GiB"));
  EXPECT_THAT(error.message(), HasSubstr("RLIMIT_MEMLOCK) is 64 KiB"));
}

TEST(ExplainMapFailure, NamesHugePagesThatRanOut) {
  EXPECT_EQ(ExplainMapFailure(EFAULT, kRam, &kLimits, ~uint64_t{0}, 0).reason(), "DMA_MEMORY_UNAVAILABLE");
}

// docs/assigned-devices.md, 4: an IOMMU of 39 bits, the AMD hole, the interrupt range.
TEST(ExplainMapFailure, NamesTheAddressesThatAreValid) {
  DmaMapping high = kRam;
  high.iova = 0xfd00000000;
  const DmaLimits amd{.page_sizes = 4 * kKiB,
                      .valid = {{0, 0xfee00000}, {0xfef00000, 0xfd00000000 - 0xfef00000}}};
  const Error error = ExplainMapFailure(EINVAL, high, &amd, ~uint64_t{0}, 0);
  EXPECT_EQ(error.code(), Code::kFailedPrecondition);
  EXPECT_EQ(error.reason(), "DMA_ADDRESS_RESERVED");
  EXPECT_THAT(error.message(), HasSubstr("0xfd00000000-0xfd7fffffff"));
  EXPECT_THAT(error.message(), HasSubstr("0xfef00000-0xfcffffffff"));
}

TEST(ExplainMapFailure, NamesLargerPages) {
  const DmaLimits large{.page_sizes = 64 * kKiB, .valid = {}};
  DmaMapping small = kRam;
  small.size = 4 * kKiB;
  const Error error = ExplainMapFailure(EINVAL, small, &large, ~uint64_t{0}, 0);
  EXPECT_EQ(error.reason(), "DMA_ADDRESS_ALIGNMENT");
  EXPECT_THAT(error.message(), HasSubstr("64 KiB"));
}

TEST(ExplainMapFailure, ManyRangesAreCutShort) {
  DmaLimits many;
  for (uint64_t i = 0; i < 100; ++i) many.valid.push_back({i * 2 * kMiB, kMiB});
  EXPECT_THAT(ExplainMapFailure(EINVAL, kRam, &many, 0, 0).message(), HasSubstr("and 92 more"));
}

TEST(ExplainMapFailure, OtherErrorsKeepTheirCode) {
  EXPECT_EQ(ExplainMapFailure(EINVAL, kRam, nullptr, 0, 0).code(), Code::kInvalidArgument);
  EXPECT_EQ(ExplainMapFailure(EEXIST, kRam, &kLimits, 0, 0).code(), Code::kInternal);
  EXPECT_EQ(ExplainMapFailure(ENOSPC, kRam, &kLimits, 0, 0).reason(), "DMA_ENTRY_LIMIT");
}

}  // namespace
}  // namespace berth::vfio

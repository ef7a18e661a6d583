#include "vmm/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::vmm {
namespace {

using testing::ElementsAre;

hw::AddressMap MapFor(uint64_t ram) { return *hw::PlanAddressMap(ram, 46, 0, 0); }

TEST(PlanRam, SmallNodesFollowEachOther) {
  EXPECT_THAT(PlanRam({kGiB, kGiB}, MapFor(2 * kGiB)),
              ElementsAre(RamPiece{0, 0, 0, kGiB}, RamPiece{1, kGiB, 0, kGiB}));
}

TEST(PlanRam, TheNodeAtTheHoleIsCut) {
  EXPECT_THAT(PlanRam({2 * kGiB, 2 * kGiB}, MapFor(4 * kGiB)),
              ElementsAre(RamPiece{0, 0, 0, 2 * kGiB}, RamPiece{1, 2 * kGiB, 0, kGiB},
                          RamPiece{1, 4 * kGiB, kGiB, kGiB}));
}

TEST(PlanRam, ANodeBeyondTheHoleLiesAbove4GiB) {
  EXPECT_THAT(PlanRam({3 * kGiB, kGiB}, MapFor(4 * kGiB)),
              ElementsAre(RamPiece{0, 0, 0, 3 * kGiB}, RamPiece{1, 4 * kGiB, 0, kGiB}));
}

}  // namespace
}  // namespace berth::vmm

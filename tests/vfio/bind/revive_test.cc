#include "vfio/bind/revive.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_kernel.h"

namespace berth::vfio {
namespace {

using host::PciAddress;

constexpr PciAddress kGpu{0, 8, 0, 0};
const std::string kNobody(64, '\xff');

class ReviveTest : public ::testing::Test {
 protected:
  ReviveTest() : kernel_(tree_) { tree_.AddFunction({.address = "0000:08:00.0", .iommu_group = 7}); }
  void SetConfig(const std::string& bytes) {
    tree_.Write(tree_.FunctionPath("0000:08:00.0") + "/config", bytes);
  }

  host::HostTree tree_;
  host::FakeKernel kernel_;
};

TEST_F(ReviveTest, AFunctionThatAnswersIsThere) {
  SetConfig(std::string(64, '\x12'));
  EXPECT_TRUE(CheckAnswers(tree_.roots(), kGpu));
}

// PCI Express Base 5.0, 9.3.4.1.1: "This field in all VFs returns FFFFh when read."
TEST_F(ReviveTest, AVirtualFunctionHasNoVendor) {
  SetConfig(std::string(4, '\xff') + std::string(60, '\x12'));
  EXPECT_TRUE(CheckAnswers(tree_.roots(), kGpu));
}

TEST_F(ReviveTest, OneThatReadsAllOnesIsLost) {
  SetConfig(kNobody);
  EXPECT_EQ(CheckAnswers(tree_.roots(), kGpu).error().reason(), "DEVICE_LOST");
}

TEST_F(ReviveTest, WhatIsNotThereIsNotFound) {
  EXPECT_EQ(CheckAnswers(tree_.roots(), {0, 9, 0, 0}).error().code(), Code::kNotFound);
  EXPECT_EQ(ResetFunction(kernel_.control(), {0, 9, 0, 0}).error().code(), Code::kNotFound);
}

TEST_F(ReviveTest, ConfigurationThatWeMayNotReadTellsNothing) {
  EXPECT_TRUE(CheckAnswers(tree_.roots(), kGpu));
}

TEST_F(ReviveTest, AResetIsTheKernels) {
  SetConfig(std::string(64, '\x12'));
  EXPECT_EQ(ResetFunction(kernel_.control(), kGpu).error().reason(), "NO_RESET_METHOD");
  tree_.Write(tree_.FunctionPath("0000:08:00.0") + "/reset", "");
  EXPECT_TRUE(ResetFunction(kernel_.control(), kGpu));
  SetConfig(kNobody);
  EXPECT_EQ(ResetFunction(kernel_.control(), kGpu).error().reason(), "DEVICE_LOST");
}

}  // namespace
}  // namespace berth::vfio

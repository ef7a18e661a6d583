// What can be seen of taps without the right to make one; tap_privileged_test.cc has the rest.
#include "net/tap.h"

#include <gtest/gtest.h>

#include "base/socket.h"

namespace berth::net {
namespace {

TEST(OpenTap, WhatIsNoTapIsRefused) {
  std::vector<UniqueFd> socket;
  socket.push_back(std::move(CreateSocketPair()->first));
  EXPECT_EQ(OpenTap(std::move(socket)).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(OpenTap({}).error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace berth::net

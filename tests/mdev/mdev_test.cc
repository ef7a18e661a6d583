#include "mdev/mdev.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/control/record.h"
#include "host/mdev.h"
#include "tests/fakes/fake_kernel.h"

namespace berth::mdev {
namespace {

using host::Crash;
using host::Difference;
using host::FakeKernel;
using host::HostTree;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr char kUuid[] = "7c0c6c05-0d00-4007-9c5a-b07b0c6c05de";

class MdevTest : public ::testing::Test {
 protected:
  MdevTest() : kernel_(tree_) {
    tree_.AddMdevType("sys/devices/virtual/mtty/mtty", "mtty-1", 2);
    tree_.AddMdevType("sys/devices/virtual/mtty/mtty", "mtty-2", 1);
    tree_.AddFunction({.address = "0000:08:00.4", .driver = "nvidia"});
    tree_.AddFunction({.address = "0000:08:00.5", .driver = "nvidia"});
    tree_.AddMdevType(tree_.FunctionPath("0000:08:00.4"), "nvidia-742", 0);
    tree_.AddMdevType(tree_.FunctionPath("0000:08:00.5"), "nvidia-742", 1);
  }
  MdevChange Plan(const std::string& type = "mtty-2") {
    return PlanMdev(tree_.roots(), kUuid, "", type).value();
  }

  HostTree tree_;
  FakeKernel kernel_;
};

TEST_F(MdevTest, MakesAndRemoves) {
  const auto before = tree_.Dump();
  const MdevChange change = Plan();
  const auto group = CreateMdev(kernel_.control(), change);
  ASSERT_TRUE(group) << group.error().ToString();
  const auto instances = ReadMdevInstances(tree_.roots());
  ASSERT_EQ(instances.size(), 1u);
  EXPECT_EQ(instances[0].type, "mtty-2");
  EXPECT_EQ(instances[0].iommu_group, *group);
  ASSERT_TRUE(RemoveMdev(kernel_.control(), change));
  EXPECT_EQ(Difference(before, tree_.Dump()), "");
  EXPECT_TRUE(RemoveMdev(kernel_.control(), change));
}

TEST_F(MdevTest, ChoosesAParentThatHasAnInstanceLeft) {
  EXPECT_EQ(Plan("nvidia-742").parent, "0000:08:00.5");
}

TEST_F(MdevTest, SaysThatNoInstanceIsLeft) {
  const auto on_parent = PlanMdev(tree_.roots(), kUuid, "0000:08:00.4", "nvidia-742");
  ASSERT_FALSE(on_parent);
  EXPECT_EQ(on_parent.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(on_parent.error().reason(), "NO_MDEV_INSTANCE_LEFT");
  EXPECT_EQ(on_parent.error().message(), "no mediated device of type nvidia-742 is left on 0000:08:00.4");
  const MdevChange change = Plan();
  kernel_.Fail("mtty-2/create", EUSERS);  // Somebody was quicker.
  EXPECT_EQ(CreateMdev(kernel_.control(), change).error().reason(), "NO_MDEV_INSTANCE_LEFT");
}

TEST_F(MdevTest, SaysWhatThereIsInsteadOfAnUnknownType) {
  const auto type = PlanMdev(tree_.roots(), kUuid, "mtty", "mtty-3");
  ASSERT_FALSE(type);
  EXPECT_EQ(type.error().code(), Code::kNotFound);
  EXPECT_EQ(type.error().reason(), "MDEV_TYPE_NOT_FOUND");
  EXPECT_THAT(type.error().metadata(), ::testing::Contains(Pair("types", "mtty-1,mtty-2")));
  EXPECT_EQ(PlanMdev(tree_.roots(), kUuid, "mdpy", "mtty-1").error().reason(), "MDEV_PARENT_NOT_FOUND");
}

TEST_F(MdevTest, NeverTakesADeviceThatIsThere) {
  ASSERT_TRUE(CreateMdev(kernel_.control(), Plan()));
  const auto again = PlanMdev(tree_.roots(), "7C0C6C05-0D00-4007-9C5A-B07B0C6C05DE", "", "mtty-1");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), Code::kAlreadyExists);
  EXPECT_THAT(again.error().message(), HasSubstr("of type mtty-2 on mtty"));
  const MdevChange other = {.uuid = kUuid, .parent = "mtty", .type = "mtty-1"};
  EXPECT_EQ(CreateMdev(kernel_.control(), other).error().reason(), "MDEV_EXISTS");
  EXPECT_TRUE(RemoveMdev(kernel_.control(), other));  // Not ours.
  EXPECT_EQ(ReadMdevInstances(tree_.roots()).size(), 1u);
}

TEST_F(MdevTest, SetsAttributesAndRemovesTheDeviceIfOneIsRefused) {
  const auto before = tree_.Dump();
  const MdevChange change =
      PlanMdev(tree_.roots(), kUuid, "", "mtty-2", {{.name = "nvidia/vgpu_params", .value = "x=1"}}).value();
  const auto group = CreateMdev(kernel_.control(), change);  // There is no such file.
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().reason(), "MDEV_NOT_CREATED");
  EXPECT_THAT(group.error().metadata(), ::testing::Contains(Pair("attribute", "nvidia/vgpu_params")));
  EXPECT_EQ(Difference(before, tree_.Dump()), "");
}

TEST_F(MdevTest, RefusesAttributesThatLeadElsewhere) {
  for (const char* name : {"", "/etc/passwd", "../remove", "a/../../b", "a//b", "remove", "a/"}) {
    const auto change = PlanMdev(tree_.roots(), kUuid, "", "mtty-2", {{.name = name, .value = "1"}});
    ASSERT_FALSE(change) << name;
    EXPECT_EQ(change.error().reason(), "BAD_ATTRIBUTE");
  }
}

TEST_F(MdevTest, TellsARemovalThatHangsFromOneThatIsRefused) {
  const MdevChange change = Plan();
  ASSERT_TRUE(CreateMdev(kernel_.control(), change));
  kernel_.Fail("/remove", ETIMEDOUT, 1);
  EXPECT_EQ(RemoveMdev(kernel_.control(), change).error().reason(), "MDEV_REMOVE_TIMED_OUT");
  kernel_.Fail("/remove", EBUSY, 1);
  EXPECT_EQ(RemoveMdev(kernel_.control(), change).error().reason(), "MDEV_BUSY");
  kernel_.Ignore("/remove", 1);
  EXPECT_THAT(RemoveMdev(kernel_.control(), change).error().message(),
              HasSubstr("reports success but it stays"));
  EXPECT_TRUE(RemoveMdev(kernel_.control(), change));
}

TEST_F(MdevTest, IsUndoneAfterACrashAtEveryStepFromWhatWasStored) {
  const auto before = tree_.Dump();
  for (const bool crash_before : {true, false}) {
    const std::string stored = host::Encode(Plan());
    kernel_.CrashAt(1, crash_before);
    EXPECT_THROW((void)CreateMdev(kernel_.control(), host::Decode<MdevChange>(stored).value()), Crash);
    ASSERT_TRUE(RemoveMdev(kernel_.control(), host::Decode<MdevChange>(stored).value()));
    EXPECT_EQ(Difference(before, tree_.Dump()), "");
  }
}

TEST(Uuid, IsReadInEitherCaseAndOnlyWhole) {
  EXPECT_EQ(ParseUuid("7C0C6C05-0D00-4007-9C5A-B07B0C6C05DE").value(), kUuid);
  for (const char* text :
       {"", "7c0c6c05", "7c0c6c05-0d00-4007-9c5a-b07b0c6c05d", "7c0c6c05-0d00-4007-9c5a-b07b0c6c05dg",
        "7c0c6c050d00-4007-9c5a-b07b0c6c05de-", "../../../../../../../../../../etc/x"}) {
    EXPECT_EQ(ParseUuid(text).error().reason(), "BAD_UUID") << text;
  }
}

TEST(Uuid, NewOnesAreRandomOfVersion4) {
  const std::string uuid = NewUuid();
  EXPECT_EQ(ParseUuid(uuid).value(), uuid);
  EXPECT_EQ(uuid[14], '4');
  EXPECT_NE(uuid, NewUuid());
}

}  // namespace
}  // namespace berth::mdev

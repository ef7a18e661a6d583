#include "server/store/guest_table.h"

#include <gtest/gtest.h>

#include "server/store/step_table.h"

namespace berth::server {
namespace {

StoredGuest Named(const std::string& id) {
  StoredGuest stored;
  stored.guest.set_name("guests/" + id);
  stored.guest.set_uid("uid-" + id);
  return stored;
}

TEST(GuestTable, GivesEachGuestTheSmallestFreeSlot) {
  auto database = *Database::Open(":memory:");
  GuestTable table(*database);
  EXPECT_EQ(table.Insert(Named("a"), {})->slot, 0);
  EXPECT_EQ(table.Insert(Named("b"), {})->slot, 1);
  EXPECT_EQ(table.Insert(Named("c"), {})->slot, 2);
  ASSERT_TRUE(table.Remove("uid-b"));
  EXPECT_EQ(table.Insert(Named("d"), {})->slot, 1);
}

TEST(GuestTable, OneNameHasOneGuest) {
  auto database = *Database::Open(":memory:");
  GuestTable table(*database);
  ASSERT_TRUE(table.Insert(Named("a"), {}));
  StoredGuest second = Named("a");
  second.guest.set_uid("another");
  const auto inserted = table.Insert(second, {});
  ASSERT_FALSE(inserted);
  EXPECT_EQ(inserted.error().code(), Code::kAlreadyExists);
  EXPECT_EQ(inserted.error().reason(), "GUEST_EXISTS");
}

TEST(GuestTable, OneDeviceHasOneOwnerAndARefusedGuestLeavesNothing) {
  auto database = *Database::Open(":memory:");
  GuestTable table(*database);
  ASSERT_TRUE(table.Insert(Named("a"), {{"pci/0000:01:00.0", "uid-a", "assigned0"}}));
  const auto second = table.Insert(
      Named("b"), {{"pci/0000:02:00.0", "uid-b", "assigned0"}, {"pci/0000:01:00.0", "uid-b", "assigned1"}});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(second.error().reason(), "DEVICE_IN_USE");
  EXPECT_EQ(table.List()->size(), 1u);
  EXPECT_EQ(table.Claims()->size(), 1u);
}

TEST(GuestTable, ClaimsGoWithTheirGuest) {
  auto database = *Database::Open(":memory:");
  GuestTable table(*database);
  ASSERT_TRUE(table.Insert(Named("a"), {{"pci/0000:01:00.0", "uid-a", "assigned0"}}));
  ASSERT_TRUE(table.Remove("uid-a"));
  EXPECT_TRUE(table.Claims()->empty());
}

TEST(GuestTable, AnUpdateReplacesClaimsOrChangesNothing) {
  auto database = *Database::Open(":memory:");
  GuestTable table(*database);
  ASSERT_TRUE(table.Insert(Named("a"), {{"one", "uid-a", "x"}}));
  ASSERT_TRUE(table.Insert(Named("b"), {{"two", "uid-b", "x"}}));
  StoredGuest changed = Named("a");
  changed.guest.mutable_spec()->mutable_cpus()->set_vcpu_count(7);
  EXPECT_EQ(table.Update(changed, {{"three", "uid-a", "x"}, {"two", "uid-a", "y"}}).error().reason(),
            "DEVICE_IN_USE");
  EXPECT_EQ((*table.Claims())[0].device, "one");
  EXPECT_EQ((*table.List())[0].guest.spec().cpus().vcpu_count(), 0);
  ASSERT_TRUE(table.Update(changed, {{"three", "uid-a", "x"}}));
  EXPECT_EQ((*table.Claims())[0].device, "three");
  EXPECT_EQ((*table.List())[0].guest.spec().cpus().vcpu_count(), 7);
}

TEST(GuestTable, AGuestWithStepsToUndoStays) {
  auto database = *Database::Open(":memory:");
  GuestTable table(*database);
  StepTable steps(*database);
  ASSERT_TRUE(table.Insert(Named("a"), {}));
  ASSERT_TRUE(steps.Insert({"uid-a", 0, "tap", "bt0", "record"}));
  const Status refused = table.Remove("uid-a");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "HOST_NOT_RESTORED");
  ASSERT_TRUE(steps.Remove("uid-a", 0));
  EXPECT_TRUE(table.Remove("uid-a"));
}

}  // namespace
}  // namespace berth::server

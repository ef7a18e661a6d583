#include "server/store/step_table.h"

#include <gtest/gtest.h>

#include "server/store/guest_table.h"

namespace berth::server {
namespace {

class StepTableTest : public testing::Test {
 protected:
  StepTableTest() {
    GuestTable guests(*database_);
    for (const char* id : {"a", "b"}) {
      StoredGuest stored;
      stored.guest.set_name(std::string("guests/") + id);
      stored.guest.set_uid(std::string("uid-") + id);
      EXPECT_TRUE(guests.Insert(stored, {}));
    }
  }

  std::unique_ptr<Database> database_ = *Database::Open(":memory:");
  StepTable steps_{*database_};
};

TEST_F(StepTableTest, ListsInOrderOfDoing) {
  ASSERT_TRUE(steps_.Insert({"uid-a", 1, "driver", "0000:01:00.0", "second"}));
  ASSERT_TRUE(steps_.Insert({"uid-a", 0, "vfs", "0000:02:00.0", "first"}));
  ASSERT_TRUE(steps_.Insert({"uid-b", 0, "vfs", "0000:03:00.0", "other"}));
  const auto steps = *steps_.ListOf("uid-a");
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].record, "first");
  EXPECT_EQ(steps[1].record, "second");
}

TEST_F(StepTableTest, FindsTheSameChangeOfAnotherGuest) {
  const StoredStep a{"uid-a", 0, "vfs", "0000:02:00.0", "record"};
  ASSERT_TRUE(steps_.Insert(a));
  EXPECT_FALSE(steps_.SharedWith(a)->has_value());
  EXPECT_FALSE(steps_.SharedWith({"uid-b", 0, "driver", "0000:02:00.0", ""})->has_value());
  const auto shared = *steps_.SharedWith({"uid-b", 0, "vfs", "0000:02:00.0", ""});
  ASSERT_TRUE(shared.has_value());
  EXPECT_EQ(shared->record, "record");
}

TEST_F(StepTableTest, StepsOfAnEarlierBootAreForgotten) {
  EXPECT_FALSE(*steps_.ForgetOtherBoots("boot-1"));
  ASSERT_TRUE(steps_.Insert({"uid-a", 0, "vfs", "0000:02:00.0", "record"}));
  EXPECT_FALSE(*steps_.ForgetOtherBoots("boot-1"));
  EXPECT_EQ(steps_.ListOf("uid-a")->size(), 1u);
  EXPECT_TRUE(*steps_.ForgetOtherBoots("boot-2"));
  EXPECT_TRUE(steps_.ListOf("uid-a")->empty());
}

}  // namespace
}  // namespace berth::server

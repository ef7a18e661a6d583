#include "server/store/operation_table.h"

#include <gtest/gtest.h>

namespace berth::server {
namespace {

StoredOperation Made(const std::string& id, int64_t time, bool done, const std::string& request_id = "") {
  StoredOperation stored{.create_time_us = time, .request_id = request_id, .request = "create guests/a"};
  stored.operation.set_name("operations/" + id);
  stored.operation.set_done(done);
  return stored;
}

TEST(OperationTable, FindsByNameAndByRequest) {
  auto database = *Database::Open(":memory:");
  OperationTable table(*database);
  ASSERT_TRUE(table.Insert(Made("x", 1, false, "request")));
  EXPECT_EQ(table.Get("operations/x")->request, "create guests/a");
  EXPECT_EQ(table.Get("operations/y").error().reason(), "OPERATION_NOT_FOUND");
  EXPECT_TRUE(table.FindRequest("request")->has_value());
  EXPECT_FALSE(table.FindRequest("other")->has_value());
  EXPECT_EQ(table.Insert(Made("y", 2, false, "request")).error().code(), Code::kAlreadyExists);
}

TEST(OperationTable, ManyMayHaveNoRequestId) {
  auto database = *Database::Open(":memory:");
  OperationTable table(*database);
  EXPECT_TRUE(table.Insert(Made("x", 1, false)));
  EXPECT_TRUE(table.Insert(Made("y", 1, false)));
}

TEST(OperationTable, PagesNewestFirst) {
  auto database = *Database::Open(":memory:");
  OperationTable table(*database);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(table.Insert(Made(std::string(1, char('a' + i)), i / 2, true)));
  const auto first = *table.List(INT64_MAX, "", 2);
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[0].operation.name(), "operations/e");
  EXPECT_EQ(first[1].operation.name(), "operations/d");
  const auto second = *table.List(first[1].create_time_us, first[1].operation.name(), 9);
  ASSERT_EQ(second.size(), 3u);
  EXPECT_EQ(second[0].operation.name(), "operations/c");
}

TEST(OperationTable, OnlyWhatIsDoneGoes) {
  auto database = *Database::Open(":memory:");
  OperationTable table(*database);
  ASSERT_TRUE(table.Insert(Made("running", 1, false)));
  ASSERT_TRUE(table.Insert(Made("old", 2, true)));
  ASSERT_TRUE(table.Insert(Made("middle", 10, true)));
  ASSERT_TRUE(table.Insert(Made("new", 11, true)));
  EXPECT_EQ(table.Remove("operations/running").error().reason(), "OPERATION_RUNNING");
  ASSERT_TRUE(table.Expire(5, 1));
  const auto left = *table.List(INT64_MAX, "", 9);
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[0].operation.name(), "operations/new");
  EXPECT_EQ(left[1].operation.name(), "operations/running");
  EXPECT_TRUE(table.Remove("operations/new"));
}

}  // namespace
}  // namespace berth::server

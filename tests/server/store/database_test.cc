#include "server/store/database.h"

#include <sys/stat.h>

#include <gtest/gtest.h>

#include "tests/fakes/scratch_dir.h"

namespace berth::server {
namespace {

TEST(Database, IsForItsOwnerAlone) {
  const ScratchDir scratch;
  ASSERT_TRUE(Database::Open(scratch / "state.db"));
  struct stat info {};
  ASSERT_EQ(::stat((scratch / "state.db").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(Database, KeepsWhatWasCommittedAndNothingElse) {
  const ScratchDir scratch;
  {
    auto database = *Database::Open(scratch / "state.db");
    MutexLock lock(database->mutex());
    {
      Transaction kept = *Transaction::Begin(*database);
      ASSERT_TRUE(database->Execute("INSERT INTO facts VALUES ('kept', '1')"));
      ASSERT_TRUE(kept.Commit());
    }
    Transaction dropped = *Transaction::Begin(*database);
    ASSERT_TRUE(database->Execute("INSERT INTO facts VALUES ('dropped', '1')"));
  }
  auto database = *Database::Open(scratch / "state.db");
  MutexLock lock(database->mutex());
  Statement select = *database->Prepare("SELECT key FROM facts");
  ASSERT_TRUE(*select.Step());
  EXPECT_EQ(select.Text(0), "kept");
  EXPECT_FALSE(*select.Step());
}

TEST(Database, AStoreOfALaterVersionIsRefusedUntouched) {
  const ScratchDir scratch;
  {
    auto database = *Database::Open(scratch / "state.db");
    MutexLock lock(database->mutex());
    ASSERT_TRUE(database->Execute("PRAGMA user_version = 999"));
  }
  const auto later = Database::Open(scratch / "state.db");
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(later.error().reason(), "STORE_TOO_NEW");
}

TEST(Database, AFileOfSomethingElseIsDataLoss) {
  const ScratchDir scratch;
  const auto opened = Database::Open(scratch.Write("state.db", std::string(4096, 'x')));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kDataLoss);
  EXPECT_EQ(opened.error().reason(), "STORE_CORRUPT");
}

TEST(Database, AFullStoreSaysSo) {
  auto database = *Database::Open(":memory:");
  MutexLock lock(database->mutex());
  ASSERT_TRUE(database->Execute("PRAGMA max_page_count = 1"));
  Statement insert = *database->Prepare("INSERT INTO facts VALUES (?, ?)");
  const Status status = insert.Bind("key").Bind(std::string(1 << 20, 'x')).Run();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(status.error().reason(), "STORE_FULL");
}

}  // namespace
}  // namespace berth::server

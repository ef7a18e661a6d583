// SQLite with results instead of codes. One connection; every use of it holds `mutex()`.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/mutex.h"

struct sqlite3;
struct sqlite3_stmt;

namespace berth::server {

// One prepared statement, run once. Parameters are bound in order; columns are numbered from 0.
class Statement {
 public:
  Statement& Bind(std::string_view text);
  Statement& Bind(int64_t number);
  Statement& BindBlob(std::string_view bytes);
  Statement& BindNull();

  // Whether there is a (further) row.
  Result<bool> Step();
  // For statements without rows. ALREADY_EXISTS, reason CONSTRAINT, where a row is in the way.
  Status Run();

  std::string Text(int column) const;
  int64_t Number(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Statement(sqlite3* connection, sqlite3_stmt* statement) : connection_(connection), statement_(statement) {}

  sqlite3* connection_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int next_parameter_ = 1;
  int bind_result_ = 0;
};

class Database {
 public:
  // Opens or creates the file, readable for its owner alone, and brings its schema up to date. `path` may be
  // ":memory:". FAILED_PRECONDITION, STORE_TOO_NEW, if a later Berth wrote it; DATA_LOSS, STORE_CORRUPT.
  static Result<std::unique_ptr<Database>> Open(const std::string& path);

  Mutex& mutex() RETURN_CAPABILITY(mutex_) { return mutex_; }
  Result<Statement> Prepare(std::string_view sql) REQUIRES(mutex_);
  Status Execute(const std::string& sql) REQUIRES(mutex_);
  int64_t changes() const REQUIRES(mutex_);  // Rows that the last statement changed.

 private:
  struct Close {
    void operator()(sqlite3* connection) const;
  };
  explicit Database(sqlite3* connection) : connection_(connection) {}
  Status Migrate() REQUIRES(mutex_);

  Mutex mutex_;
  std::unique_ptr<sqlite3, Close> connection_;
};

// Undone when it ends, unless committed. Lives while the database's mutex is held.
class Transaction {
 public:
  static Result<Transaction> Begin(Database& database) REQUIRES(database.mutex());
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  ~Transaction();
  Status Commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace berth::server

#include "server/store/database.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include "server/store/schema.h"

namespace berth::server {
namespace {

// How long to wait for another process (a person with sqlite3) that holds the file.
constexpr int kBusyTimeoutMs = 5000;

Error SqliteError(sqlite3* connection, std::string_view what) {
  const int code = sqlite3_extended_errcode(connection);
  const std::string message = fmt::format("{}: {}", what, sqlite3_errmsg(connection));
  switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
      return Error(Code::kAlreadyExists, message).Reason("CONSTRAINT");
    case SQLITE_FULL:
      return Error(Code::kResourceExhausted, message).Reason("STORE_FULL");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Error(Code::kUnavailable, message).Reason("STORE_BUSY");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Error(Code::kDataLoss, message).Reason("STORE_CORRUPT");
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
      return Error(Code::kPermissionDenied, message).Reason("STORE_NOT_WRITABLE");
    default:
      return Error(Code::kInternal, message).Reason("STORE_ERROR");
  }
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
void Database::Close::operator()(sqlite3* connection) const { sqlite3_close(connection); }

Statement& Statement::Bind(std::string_view text) {
  bind_result_ |= sqlite3_bind_text64(statement_.get(), next_parameter_++, text.data(), text.size(),
                                      SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}

Statement& Statement::Bind(int64_t number) {
  bind_result_ |= sqlite3_bind_int64(statement_.get(), next_parameter_++, number);
  return *this;
}

Statement& Statement::BindBlob(std::string_view bytes) {
  // A null pointer would bind NULL.
  const char* data = bytes.empty() ? "" : bytes.data();
  bind_result_ |=
      sqlite3_bind_blob64(statement_.get(), next_parameter_++, data, bytes.size(), SQLITE_TRANSIENT);
  return *this;
}

Statement& Statement::BindNull() {
  bind_result_ |= sqlite3_bind_null(statement_.get(), next_parameter_++);
  return *this;
}

Result<bool> Statement::Step() {
  CHECK(bind_result_ == SQLITE_OK || bind_result_ == SQLITE_NOMEM || bind_result_ == SQLITE_TOOBIG);
  if (bind_result_ != SQLITE_OK)
    return Fail(Code::kResourceExhausted, "the value is too large for the store");
  const int result = sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return Fail(SqliteError(connection_, "the store"));
}

Status Statement::Run() {
  TRY(Step());
  return Ok();
}

std::string Statement::Text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return bytes == nullptr ? std::string() : std::string(static_cast<const char*>(bytes), size);
}

int64_t Statement::Number(int column) const { return sqlite3_column_int64(statement_.get(), column); }

Result<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  sqlite3* raw = nullptr;
  const mode_t old_mask = ::umask(0077);
  const int result = sqlite3_open_v2(
      path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  ::umask(old_mask);
  std::unique_ptr<Database> database(new Database(raw));
  if (result != SQLITE_OK) return Fail(SqliteError(raw, fmt::format("open the store {}", path)));
  sqlite3_busy_timeout(raw, kBusyTimeoutMs);
  MutexLock lock(database->mutex_);
  TRY(Context(database->Migrate(), fmt::format("open the store {}", path)));
  return database;
}

Status Database::Migrate() {
  // FULL: what a caller was told is there after a power failure too.
  TRY(Execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"));
  Statement version = TRY(Prepare("PRAGMA user_version"));
  TRY(version.Step());
  const int64_t found = version.Number(0);
  if (found > kSchemaVersion) {
    return Fail(
        Error(Code::kFailedPrecondition,
              fmt::format("it has schema version {}, this berthd knows up to {}", found, kSchemaVersion))
            .Reason("STORE_TOO_NEW")
            .With("version", std::to_string(found)));
  }
  for (int64_t next = found; next < kSchemaVersion; ++next) {
    Transaction transaction = TRY(Transaction::Begin(*this));
    TRY(Execute(kSchemaSteps[next]));
    TRY(Execute(fmt::format("PRAGMA user_version = {}", next + 1)));
    TRY(transaction.Commit());
  }
  return Ok();
}

Result<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(connection_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr) !=
      SQLITE_OK) {
    return Fail(SqliteError(connection_.get(), "the store"));
  }
  return Statement(connection_.get(), statement);
}

Status Database::Execute(const std::string& sql) {
  if (sqlite3_exec(connection_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return Fail(SqliteError(connection_.get(), "the store"));
  }
  return Ok();
}

int64_t Database::changes() const { return sqlite3_changes64(connection_.get()); }

Result<Transaction> Transaction::Begin(Database& database) {
  TRY(database.Execute("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Status Transaction::Commit() NO_THREAD_SAFETY_ANALYSIS {
  TRY(database_->Execute("COMMIT"));
  database_ = nullptr;
  return Ok();
}

Transaction::~Transaction() NO_THREAD_SAFETY_ANALYSIS {
  if (database_ != nullptr) (void)database_->Execute("ROLLBACK");
}

}  // namespace berth::server

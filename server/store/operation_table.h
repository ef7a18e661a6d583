// Long-running operations, on disk: they outlive the daemon that runs them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "google/longrunning/operations.pb.h"
#include "server/store/database.h"

namespace berth::server {

struct StoredOperation {
  google::longrunning::Operation operation{};  // Named "operations/{id}".
  int64_t create_time_us = 0;
  std::string request_id;  // The caller's, or empty.
  std::string request;     // What was asked with it, so that the id is not used for something else.
};

// Any thread. Borrows the database.
class OperationTable {
 public:
  explicit OperationTable(Database& database) : database_(database) {}

  // ALREADY_EXISTS, CONSTRAINT, if the request id was used before.
  Status Insert(const StoredOperation& operation);
  Status Update(const google::longrunning::Operation& operation);
  // NOT_FOUND, OPERATION_NOT_FOUND.
  Result<StoredOperation> Get(const std::string& name);
  Result<std::optional<StoredOperation>> FindRequest(const std::string& request_id);
  // Up to `limit`, newest first, beginning after the one of this time and name.
  Result<std::vector<StoredOperation>> List(int64_t before_time_us, const std::string& after_name, int limit);
  // Removes the one of this name; only those that are done go. NOT_FOUND; FAILED_PRECONDITION,
  // OPERATION_RUNNING.
  Status Remove(const std::string& name);
  // Removes those that are done and older than this, and the oldest of more than `keep`.
  Status Expire(int64_t before_time_us, int64_t keep);

 private:
  Database& database_;
};

}  // namespace berth::server

#include "server/store/operation_table.h"

namespace berth::server {
namespace {

constexpr char kColumns[] = "resource, create_time, request_id, request, id";

Result<StoredOperation> OperationOf(const Statement& row) {
  StoredOperation stored{.create_time_us = row.Number(1), .request_id = row.Text(2), .request = row.Text(3)};
  if (!stored.operation.ParseFromString(row.Text(0))) {
    return Fail(Error(Code::kDataLoss, fmt::format("operation {} in the store is unreadable", row.Text(4)))
                    .Reason("STORE_CORRUPT"));
  }
  return stored;
}

tl::unexpected<Error> NotFound(const std::string& name) {
  return Fail(Error(Code::kNotFound, fmt::format("there is no operation {}", name))
                  .Reason("OPERATION_NOT_FOUND")
                  .With("resource", name));
}

}  // namespace

Status OperationTable::Insert(const StoredOperation& stored) {
  MutexLock lock(database_.mutex());
  Statement insert =
      TRY(database_.Prepare("INSERT INTO operations (id, create_time, done, request_id, request, resource) "
                            "VALUES (?, ?, ?, ?, ?, ?)"));
  insert.Bind(stored.operation.name()).Bind(stored.create_time_us).Bind(int64_t{stored.operation.done()});
  stored.request_id.empty() ? insert.BindNull() : insert.Bind(stored.request_id);
  return insert.Bind(stored.request).BindBlob(stored.operation.SerializeAsString()).Run();
}

Status OperationTable::Update(const google::longrunning::Operation& operation) {
  MutexLock lock(database_.mutex());
  Statement update = TRY(database_.Prepare("UPDATE operations SET done = ?, resource = ? WHERE id = ?"));
  TRY(update.Bind(int64_t{operation.done()})
          .BindBlob(operation.SerializeAsString())
          .Bind(operation.name())
          .Run());
  return database_.changes() == 0 ? NotFound(operation.name()) : Ok();
}

Result<StoredOperation> OperationTable::Get(const std::string& name) {
  MutexLock lock(database_.mutex());
  Statement select = TRY(database_.Prepare(fmt::format("SELECT {} FROM operations WHERE id = ?", kColumns)));
  if (!TRY(select.Bind(name).Step())) return NotFound(name);
  return OperationOf(select);
}

Result<std::optional<StoredOperation>> OperationTable::FindRequest(const std::string& request_id) {
  MutexLock lock(database_.mutex());
  Statement select =
      TRY(database_.Prepare(fmt::format("SELECT {} FROM operations WHERE request_id = ?", kColumns)));
  if (!TRY(select.Bind(request_id).Step())) return std::nullopt;
  return TRY(OperationOf(select));
}

Result<std::vector<StoredOperation>> OperationTable::List(int64_t before_time_us,
                                                          const std::string& after_name, int limit) {
  MutexLock lock(database_.mutex());
  Statement select = TRY(database_.Prepare(fmt::format(
      "SELECT {} FROM operations WHERE (create_time, id) < (?, ?) ORDER BY create_time DESC, id DESC "
      "LIMIT ?",
      kColumns)));
  select.Bind(before_time_us).Bind(after_name).Bind(int64_t{limit});
  std::vector<StoredOperation> operations;
  while (TRY(select.Step())) operations.push_back(TRY(OperationOf(select)));
  return operations;
}

Status OperationTable::Remove(const std::string& name) {
  MutexLock lock(database_.mutex());
  Statement select = TRY(database_.Prepare("SELECT done FROM operations WHERE id = ?"));
  if (!TRY(select.Bind(name).Step())) return NotFound(name);
  if (select.Number(0) == 0) {
    return Fail(Error(Code::kFailedPrecondition, fmt::format("{} is not done", name))
                    .Reason("OPERATION_RUNNING")
                    .With("resource", name));
  }
  Statement remove = TRY(database_.Prepare("DELETE FROM operations WHERE id = ?"));
  return remove.Bind(name).Run();
}

Status OperationTable::Expire(int64_t before_time_us, int64_t keep) {
  MutexLock lock(database_.mutex());
  Statement remove =
      TRY(database_.Prepare("DELETE FROM operations WHERE done AND (create_time < ? OR id NOT IN "
                            "(SELECT id FROM operations ORDER BY create_time DESC, id DESC LIMIT ?))"));
  return remove.Bind(before_time_us).Bind(keep).Run();
}

}  // namespace berth::server

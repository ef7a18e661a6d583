#include "server/store/step_table.h"

namespace berth::server {
namespace {

StoredStep StepOf(const Statement& row) {
  return {.guest_uid = row.Text(0),
          .sequence = row.Number(1),
          .kind = row.Text(2),
          .subject = row.Text(3),
          .record = row.Text(4),
          .device_id = row.Text(5)};
}

}  // namespace

Status StepTable::Insert(const StoredStep& step) {
  MutexLock lock(database_.mutex());
  Statement insert = TRY(database_.Prepare(
      "INSERT INTO steps (guest_uid, sequence, kind, subject, record, device_id) VALUES (?, ?, ?, ?, ?, ?)"));
  return insert.Bind(step.guest_uid)
      .Bind(step.sequence)
      .Bind(step.kind)
      .Bind(step.subject)
      .Bind(step.record)
      .Bind(step.device_id)
      .Run();
}

Status StepTable::Update(const StoredStep& step) {
  MutexLock lock(database_.mutex());
  Statement update =
      TRY(database_.Prepare("UPDATE steps SET record = ? WHERE guest_uid = ? AND sequence = ?"));
  TRY(update.Bind(step.record).Bind(step.guest_uid).Bind(step.sequence).Run());
  if (database_.changes() == 0) return Fail(Code::kNotFound, "step {} is not in the store", step.sequence);
  return Ok();
}

Status StepTable::Remove(const std::string& guest_uid, int64_t sequence) {
  MutexLock lock(database_.mutex());
  Statement remove = TRY(database_.Prepare("DELETE FROM steps WHERE guest_uid = ? AND sequence = ?"));
  return remove.Bind(guest_uid).Bind(sequence).Run();
}

Result<std::vector<StoredStep>> StepTable::ListOf(const std::string& guest_uid) {
  MutexLock lock(database_.mutex());
  Statement select = TRY(database_.Prepare(
      "SELECT guest_uid, sequence, kind, subject, record, device_id FROM steps WHERE guest_uid = ? "
      "ORDER BY sequence"));
  select.Bind(guest_uid);
  std::vector<StoredStep> steps;
  while (TRY(select.Step())) steps.push_back(StepOf(select));
  return steps;
}

Result<std::optional<StoredStep>> StepTable::SharedWith(const StoredStep& step) {
  MutexLock lock(database_.mutex());
  Statement select = TRY(
      database_.Prepare("SELECT guest_uid, sequence, kind, subject, record, device_id FROM steps "
                        "WHERE kind = ? AND subject = ? AND NOT (guest_uid = ? AND sequence = ?) LIMIT 1"));
  select.Bind(step.kind).Bind(step.subject).Bind(step.guest_uid).Bind(step.sequence);
  if (!TRY(select.Step())) return std::nullopt;
  return StepOf(select);
}

Result<bool> StepTable::ForgetOtherBoots(const std::string& boot_id) {
  MutexLock lock(database_.mutex());
  Transaction transaction = TRY(Transaction::Begin(database_));
  Statement select = TRY(database_.Prepare("SELECT value FROM facts WHERE key = 'boot_id'"));
  const bool known = TRY(select.Step());
  if (known && select.Text(0) == boot_id) return false;
  TRY(database_.Execute("DELETE FROM steps"));
  Statement replace =
      TRY(database_.Prepare("INSERT OR REPLACE INTO facts (key, value) VALUES ('boot_id', ?)"));
  TRY(replace.Bind(boot_id).Run());
  TRY(transaction.Commit());
  return known;
}

}  // namespace berth::server

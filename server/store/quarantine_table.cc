#include "server/store/quarantine_table.h"

namespace berth::server {

Result<bool> QuarantineTable::Add(const Quarantined& quarantined) {
  MutexLock lock(database_.mutex());
  Statement insert = TRY(database_.Prepare(
      "INSERT OR IGNORE INTO quarantine (device, since, reason, message, guest) VALUES (?, ?, ?, ?, ?)"));
  TRY(insert.Bind(quarantined.device)
          .Bind(quarantined.since_us)
          .Bind(quarantined.reason)
          .Bind(quarantined.message)
          .Bind(quarantined.guest)
          .Run());
  return database_.changes() != 0;
}

Status QuarantineTable::Remove(const std::string& device) {
  MutexLock lock(database_.mutex());
  Statement remove = TRY(database_.Prepare("DELETE FROM quarantine WHERE device = ?"));
  return remove.Bind(device).Run();
}

Status QuarantineTable::Clear() {
  MutexLock lock(database_.mutex());
  return database_.Execute("DELETE FROM quarantine");
}

Result<std::vector<Quarantined>> QuarantineTable::List() {
  MutexLock lock(database_.mutex());
  Statement select =
      TRY(database_.Prepare("SELECT device, since, reason, message, guest FROM quarantine ORDER BY device"));
  std::vector<Quarantined> all;
  while (TRY(select.Step())) {
    all.push_back({.device = select.Text(0),
                   .since_us = select.Number(1),
                   .reason = select.Text(2),
                   .message = select.Text(3),
                   .guest = select.Text(4)});
  }
  return all;
}

}  // namespace berth::server

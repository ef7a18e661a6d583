#include "server/store/guest_table.h"

#include <google/protobuf/util/time_util.h>

#include "proto/guest_name.h"

namespace berth::server {

using google::protobuf::util::TimeUtil;

Status GuestTable::InsertClaims(const std::vector<Claim>& claims) {
  const int64_t now = TimeUtil::TimestampToMicroseconds(TimeUtil::GetCurrentTime());
  for (const Claim& claim : claims) {
    Statement owner = TRY(database_.Prepare(
        "SELECT guests.id FROM claims JOIN guests ON guests.uid = claims.guest_uid WHERE device = ?"));
    if (TRY(owner.Bind(claim.device).Step())) {
      const std::string name = std::string(kGuestsCollection) + owner.Text(0);
      return Fail(
          Error(Code::kFailedPrecondition, fmt::format("device {} is in use by {}", claim.device, name))
              .Reason("DEVICE_IN_USE")
              .With("device", claim.device)
              .With("owner", name));
    }
    Statement insert = TRY(
        database_.Prepare("INSERT INTO claims (device, guest_uid, device_id, since) VALUES (?, ?, ?, ?)"));
    const int64_t since = claim.since_us == 0 ? now : claim.since_us;
    TRY(insert.Bind(claim.device).Bind(claim.guest_uid).Bind(claim.device_id).Bind(since).Run());
  }
  return Ok();
}

Result<StoredGuest> GuestTable::Insert(StoredGuest guest, const std::vector<Claim>& claims) {
  const std::string id = GuestIdOf(guest.guest.name());
  MutexLock lock(database_.mutex());
  Transaction transaction = TRY(Transaction::Begin(database_));
  Statement exists = TRY(database_.Prepare("SELECT 1 FROM guests WHERE id = ?"));
  if (TRY(exists.Bind(id).Step())) {
    return Fail(Error(Code::kAlreadyExists, fmt::format("there is a guest {} already", guest.guest.name()))
                    .Reason("GUEST_EXISTS")
                    .With("resource", guest.guest.name()));
  }
  Statement slot = TRY(database_.Prepare(
      "SELECT coalesce(min(slot) + 1, 0) FROM (SELECT -1 AS slot UNION SELECT slot FROM guests) "
      "WHERE slot + 1 NOT IN (SELECT slot FROM guests)"));
  TRY(slot.Step());
  guest.slot = slot.Number(0);
  Statement insert =
      TRY(database_.Prepare("INSERT INTO guests (uid, id, slot, creating, resource) VALUES (?, ?, ?, ?, ?)"));
  TRY(insert.Bind(guest.guest.uid())
          .Bind(id)
          .Bind(guest.slot)
          .Bind(int64_t{guest.creating})
          .BindBlob(guest.guest.SerializeAsString())
          .Run());
  TRY(InsertClaims(claims));
  TRY(transaction.Commit());
  return guest;
}

Status GuestTable::Update(const StoredGuest& guest) {
  MutexLock lock(database_.mutex());
  Statement update = TRY(database_.Prepare("UPDATE guests SET creating = ?, resource = ? WHERE uid = ?"));
  TRY(update.Bind(int64_t{guest.creating})
          .BindBlob(guest.guest.SerializeAsString())
          .Bind(guest.guest.uid())
          .Run());
  if (database_.changes() == 0) return Fail(Code::kNotFound, "{} is not in the store", guest.guest.name());
  return Ok();
}

Status GuestTable::Update(const StoredGuest& guest, std::vector<Claim> claims) {
  MutexLock lock(database_.mutex());
  Transaction transaction = TRY(Transaction::Begin(database_));
  Statement update = TRY(database_.Prepare("UPDATE guests SET resource = ? WHERE uid = ?"));
  TRY(update.BindBlob(guest.guest.SerializeAsString()).Bind(guest.guest.uid()).Run());
  if (database_.changes() == 0) return Fail(Code::kNotFound, "{} is not in the store", guest.guest.name());
  // What it keeps it has had since before.
  Statement before = TRY(database_.Prepare("SELECT device, since FROM claims WHERE guest_uid = ?"));
  before.Bind(guest.guest.uid());
  while (TRY(before.Step())) {
    for (Claim& claim : claims) {
      if (claim.device == before.Text(0)) claim.since_us = before.Number(1);
    }
  }
  Statement clear = TRY(database_.Prepare("DELETE FROM claims WHERE guest_uid = ?"));
  TRY(clear.Bind(guest.guest.uid()).Run());
  TRY(InsertClaims(claims));
  return transaction.Commit();
}

Status GuestTable::Remove(const std::string& uid) {
  MutexLock lock(database_.mutex());
  Statement remove = TRY(database_.Prepare("DELETE FROM guests WHERE uid = ?"));
  Status removed = remove.Bind(uid).Run();
  if (!removed && removed.error().reason() == "CONSTRAINT") {
    return Fail(Error(Code::kFailedPrecondition, "what was changed on the host for it is not all undone")
                    .Reason("HOST_NOT_RESTORED"));
  }
  return removed;
}

Result<std::vector<StoredGuest>> GuestTable::List() {
  MutexLock lock(database_.mutex());
  Statement select = TRY(database_.Prepare("SELECT slot, creating, resource, id FROM guests ORDER BY id"));
  std::vector<StoredGuest> guests;
  while (TRY(select.Step())) {
    StoredGuest guest{.slot = select.Number(0), .creating = select.Number(1) != 0};
    if (!guest.guest.ParseFromString(select.Text(2))) {
      return Fail(Error(Code::kDataLoss, fmt::format("guest {} in the store is unreadable", select.Text(3)))
                      .Reason("STORE_CORRUPT"));
    }
    guests.push_back(std::move(guest));
  }
  return guests;
}

Result<std::vector<Claim>> GuestTable::Claims() {
  MutexLock lock(database_.mutex());
  Statement select = TRY(
      database_.Prepare("SELECT device, guest_uid, device_id, guests.id, since FROM claims JOIN guests ON "
                        "guests.uid = claims.guest_uid ORDER BY device"));
  std::vector<Claim> claims;
  while (TRY(select.Step())) {
    claims.push_back({.device = select.Text(0),
                      .guest_uid = select.Text(1),
                      .device_id = select.Text(2),
                      .guest = "guests/" + select.Text(3),
                      .since_us = select.Number(4)});
  }
  return claims;
}

}  // namespace berth::server

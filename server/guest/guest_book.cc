#include "server/guest/guest_book.h"

#include "base/log.h"

namespace berth::server {

Status GuestBook::Load() {
  MutexLock lock(mutex_);
  for (StoredGuest& stored : TRY(table_.List())) {
    const std::string name = stored.guest.name();
    guests_.emplace(name, std::make_shared<GuestEntry>(std::move(stored)));
  }
  return Ok();
}

Result<GuestPtr> GuestBook::Find(const std::string& name) {
  MutexLock lock(mutex_);
  const auto found = guests_.find(name);
  if (found != guests_.end()) return found->second;
  return Fail(Error(Code::kNotFound, fmt::format("there is no guest {}", name))
                  .Reason("GUEST_NOT_FOUND")
                  .With("resource", name));
}

std::vector<GuestPtr> GuestBook::All() {
  MutexLock lock(mutex_);
  std::vector<GuestPtr> all;
  for (const auto& [name, guest] : guests_) all.push_back(guest);
  return all;
}

Result<GuestPtr> GuestBook::Insert(StoredGuest guest, const std::vector<Claim>& claims) {
  MutexLock lock(mutex_);
  auto entry = std::make_shared<GuestEntry>(TRY(table_.Insert(std::move(guest), claims)));
  guests_.emplace(entry->name, entry);
  events_.Publish(EventOf(entry->Get(), v1::Event::GUEST_CREATED));
  return entry;
}

Status GuestBook::Change(GuestEntry& entry, const std::function<void(StoredGuest&)>& change,
                         bool ends_operation) {
  MutexLock lock(entry.mutex);
  const v1::Guest::State before = entry.stored.guest.state();
  change(entry.stored);
  if (ends_operation) entry.operation.clear();
  if (entry.stored.guest.state() != before) {
    events_.Publish(EventOf(entry.stored.guest, v1::Event::GUEST_STATE_CHANGED));
  }
  entry.changed.notify_all();
  Status stored = table_.Update(entry.stored);
  if (!stored) LOG_ERROR("cannot store {}: {}", entry.name, stored.error().ToString());
  return stored;
}

Status GuestBook::Remove(GuestEntry& entry) {
  MutexLock lock(mutex_);
  TRY(table_.Remove(entry.uid));
  guests_.erase(entry.name);
  events_.Publish(EventOf(entry.Get(), v1::Event::GUEST_DELETED));
  return Ok();
}

Ledger LedgerOf(const std::vector<GuestPtr>& guests) {
  Ledger ledger;
  for (const GuestPtr& guest : guests) {
    MutexLock lock(guest->mutex);
    if (guest->reservation) ledger.push_back(*guest->reservation);
  }
  return ledger;
}

v1::Event EventOf(const v1::Guest& guest, v1::Event::Kind kind) {
  v1::Event event;
  event.set_kind(kind);
  event.set_guest(guest.name());
  event.set_guest_uid(guest.uid());
  event.set_state(guest.state());
  return event;
}

}  // namespace berth::server

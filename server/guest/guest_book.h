// The guests there are: in memory for everybody to look at, on disk to be found again.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/event_loop.h"
#include "base/mutex.h"
#include "berth/v1/guest.pb.h"
#include "server/guest/event_log.h"
#include "server/guest/vmm.h"
#include "server/placement/placement.h"
#include "server/store/guest_table.h"

namespace berth::server {

// One guest. Whoever holds its operation may change it; everybody may look.
struct GuestEntry {
  explicit GuestEntry(StoredGuest guest)
      : name(guest.guest.name()), uid(guest.guest.uid()), stored(std::move(guest)) {}

  const std::string name;  // "guests/web"
  const std::string uid;

  Mutex mutex;
  // Notified when something about its VMM, or its operation, changes.
  std::condition_variable changed;
  StoredGuest stored GUARDED_BY(mutex);
  // What is being done with it; empty: nothing.
  std::string operation GUARDED_BY(mutex);
  std::shared_ptr<Vmm> vmm GUARDED_BY(mutex);
  uint64_t machines GUARDED_BY(mutex) = 0;  // How many there have been: what an earlier one says is ignored.
  control::MachineState machine_state GUARDED_BY(mutex) = control::MACHINE_STATE_UNSPECIFIED;
  std::optional<Error> fault GUARDED_BY(mutex);     // What the VMM says went wrong.
  std::optional<Error> vmm_gone GUARDED_BY(mutex);  // Its process or connection ended.
  std::optional<Reservation> reservation GUARDED_BY(mutex);
  // By their ids: devices that have left the machine and are to be released; those that failed, with what the
  // VMM says of it, and are to be quarantined.
  std::set<std::string> unplugged GUARDED_BY(mutex);
  std::map<std::string, std::string> failed GUARDED_BY(mutex);

  // When file systems that may be frozen are to be thawed, if that has failed; and whether somebody waits for
  // that.
  EventLoop::Clock::time_point thaw_again GUARDED_BY(mutex){};
  bool awaits_thaw GUARDED_BY(mutex) = false;

  std::optional<v1::GuestUsage> usage GUARDED_BY(mutex);  // While it runs; of no interest to the store.

  v1::Guest Get() EXCLUDES(mutex) {
    MutexLock lock(mutex);
    v1::Guest guest = stored.guest;
    if (usage) *guest.mutable_usage() = *usage;
    return guest;
  }
  // Null while there is none.
  std::shared_ptr<Vmm> GetVmm() EXCLUDES(mutex) {
    MutexLock lock(mutex);
    return vmm;
  }
};
using GuestPtr = std::shared_ptr<GuestEntry>;

// Any thread. Borrows both.
class GuestBook {
 public:
  GuestBook(GuestTable& table, EventLog& events) : table_(table), events_(events) {}

  // Reads the store, once, before anything else.
  Status Load();
  // By name, "guests/web". NOT_FOUND, GUEST_NOT_FOUND.
  Result<GuestPtr> Find(const std::string& name);
  // By name.
  std::vector<GuestPtr> All();
  // As GuestTable::Insert.
  Result<GuestPtr> Insert(StoredGuest guest, const std::vector<Claim>& claims);
  // Changes the guest and stores it; tells those who watch if its state changed. A failure to store is also
  // logged: the guest in memory has changed anyway.
  // `ends_operation`: with the change, its operation is over, so that whoever hears of it can begin another.
  Status Change(GuestEntry& entry, const std::function<void(StoredGuest&)>& change,
                bool ends_operation = false);
  // As GuestTable::Remove.
  Status Remove(GuestEntry& entry);

 private:
  GuestTable& table_;
  EventLog& events_;
  Mutex mutex_;
  std::map<std::string, GuestPtr> guests_ GUARDED_BY(mutex_);
};

// What running guests were promised.
Ledger LedgerOf(const std::vector<GuestPtr>& guests);

// An event about a guest, to be filled in.
v1::Event EventOf(const v1::Guest& guest, v1::Event::Kind kind);

}  // namespace berth::server

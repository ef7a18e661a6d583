// Guests and the devices they claim, on disk.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "berth/v1/guest.pb.h"
#include "server/store/database.h"

namespace berth::server {

struct StoredGuest {
  v1::Guest guest{};
  // A number no other guest has, from 0, as small as possible.
  int64_t slot = 0;
  // Its creation (with a start) is not done: it goes if the creation does not succeed.
  bool creating = false;
};

// A host device in one guest's hands.
struct Claim {
  std::string device;  // Key of the device: see server/guest/device_key.h.
  std::string guest_uid;
  std::string device_id;  // The device's id within the guest.
  std::string guest;      // The guest's name; only read, never written.
  int64_t since_us = 0;   // Since the epoch; 0: from now on.
};

// Any thread. Borrows the database.
class GuestTable {
 public:
  explicit GuestTable(Database& database) : database_(database) {}

  // Gives the guest a slot, and the devices to the guest: all or nothing. ALREADY_EXISTS, GUEST_EXISTS;
  // FAILED_PRECONDITION, DEVICE_IN_USE, naming device and owner.
  Result<StoredGuest> Insert(StoredGuest guest, const std::vector<Claim>& claims);
  // NOT_FOUND if it is not there.
  Status Update(const StoredGuest& guest);
  // As Update, and the devices become exactly `claims`. DEVICE_IN_USE as for Insert.
  Status Update(const StoredGuest& guest, std::vector<Claim> claims);
  // With its claims. FAILED_PRECONDITION, HOST_NOT_RESTORED, while there are steps of it.
  Status Remove(const std::string& uid);
  // By id.
  Result<std::vector<StoredGuest>> List();
  Result<std::vector<Claim>> Claims();

 private:
  Status InsertClaims(const std::vector<Claim>& claims) REQUIRES(database_.mutex());

  Database& database_;
};

}  // namespace berth::server

// Devices that no guest may have until somebody has looked after them, on disk.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "server/store/database.h"

namespace berth::server {

struct Quarantined {
  std::string device;    // Its key: see server/guest/device_key.h.
  int64_t since_us = 0;  // Since the epoch.
  std::string reason;    // As an error's: "DEVICE_LOST", "UNBIND_TIMED_OUT".
  std::string message;   // For a person.
  std::string guest;     // Whose it was, "guests/web".
};

// Any thread. Borrows the database.
class QuarantineTable {
 public:
  explicit QuarantineTable(Database& database) : database_(database) {}

  // What is said first stays. Whether it was not there before.
  Result<bool> Add(const Quarantined& quarantined);
  Status Remove(const std::string& device);
  // A new boot of the host has reset everything.
  Status Clear();
  // By device.
  Result<std::vector<Quarantined>> List();

 private:
  Database& database_;
};

}  // namespace berth::server

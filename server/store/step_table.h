// What was changed on the host for guests, on disk before it is changed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "server/store/database.h"

namespace berth::server {

struct StoredStep {
  std::string guest_uid;
  int64_t sequence = 0;  // Order of doing; undone from the last to the first.
  std::string kind;
  // What is changed; steps of one kind and subject share one change.
  std::string subject;
  // What undoes it: a change of host/control/record.h as text.
  std::string record;
  std::string device_id{};  // The assigned device it is for; empty: the machine as a whole.
};

// Any thread. Borrows the database.
class StepTable {
 public:
  explicit StepTable(Database& database) : database_(database) {}

  Status Insert(const StoredStep& step);
  // Replaces the record. NOT_FOUND if the step is not there.
  Status Update(const StoredStep& step);
  Status Remove(const std::string& guest_uid, int64_t sequence);
  // In order of doing.
  Result<std::vector<StoredStep>> ListOf(const std::string& guest_uid);
  // Another step with this kind and subject, if there is one.
  Result<std::optional<StoredStep>> SharedWith(const StoredStep& step);
  // Forgets all steps if the host has booted since the last call: what they changed is gone. Returns whether.
  Result<bool> ForgetOtherBoots(const std::string& boot_id);

 private:
  Database& database_;
};

}  // namespace berth::server

// The store's tables. Never change a step that was released: add one.
#pragma once

#include <cstdint>

namespace berth::server {

inline constexpr const char* kSchemaSteps[] = {
    // 1
    R"(
    -- Facts about the whole store, such as the host's boot it was last used in.
    CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

    -- slot: a small number of the guest's own, for its user id. resource: berth.v1.Guest.
    -- creating: the operation that creates it, until that is done.
    CREATE TABLE guests (
      uid TEXT PRIMARY KEY,
      id TEXT NOT NULL UNIQUE,
      slot INTEGER NOT NULL UNIQUE,
      creating INTEGER NOT NULL,
      resource BLOB NOT NULL) STRICT;

    -- device: the key of a host device (server/guest/device_key.h). One owner each.
    CREATE TABLE claims (
      device TEXT PRIMARY KEY,
      guest_uid TEXT NOT NULL REFERENCES guests (uid) ON DELETE CASCADE,
      device_id TEXT NOT NULL) STRICT;

    -- What was or is about to be changed on the host for a guest, in order; the records undo it.
    CREATE TABLE steps (
      guest_uid TEXT NOT NULL REFERENCES guests (uid),
      sequence INTEGER NOT NULL,
      kind TEXT NOT NULL,
      subject TEXT NOT NULL,
      record TEXT NOT NULL,
      PRIMARY KEY (guest_uid, sequence)) STRICT;
    CREATE INDEX steps_by_subject ON steps (kind, subject);

    -- resource: google.longrunning.Operation. request: a digest of what the request id was used for.
    CREATE TABLE operations (
      id TEXT PRIMARY KEY,
      create_time INTEGER NOT NULL,
      done INTEGER NOT NULL,
      request_id TEXT UNIQUE,
      request TEXT NOT NULL,
      resource BLOB NOT NULL) STRICT;
    CREATE INDEX operations_by_time ON operations (create_time);
    )",
    // 2
    R"(
    -- device_id: the guest's assigned device that the step is for; empty for the machine's.
    ALTER TABLE steps ADD COLUMN device_id TEXT NOT NULL DEFAULT '';

    -- since: microseconds since the epoch.
    ALTER TABLE claims ADD COLUMN since INTEGER NOT NULL DEFAULT 0;

    -- Devices that nobody may have. device: as in claims. reason: as an error's. guest: whose it was.
    CREATE TABLE quarantine (
      device TEXT PRIMARY KEY,
      since INTEGER NOT NULL,
      reason TEXT NOT NULL,
      message TEXT NOT NULL,
      guest TEXT NOT NULL) STRICT;
    )",
};
inline constexpr int64_t kSchemaVersion = sizeof(kSchemaSteps) / sizeof(kSchemaSteps[0]);

}  // namespace berth::server

#include "server/volume/volume_users.h"

#include "server/guest/device_spec_check.h"

namespace berth::server {

VolumeUsers UsersOfVolumes(GuestBook& book) {
  VolumeUsers users;
  for (const GuestPtr& entry : book.All()) {
    const v1::Guest guest = entry->Get();
    for (int i = 0; i < guest.spec().disks_size(); ++i) {
      const v1::DiskSpec& disk = guest.spec().disks(i);
      if (disk.volume().empty()) continue;
      users.emplace(disk.volume(), VolumeUser{.guest = guest.name(),
                                              .disk_id = DiskId(guest.spec(), i),
                                              .writes = !disk.read_only(),
                                              .running = guest.state() == v1::Guest::RUNNING});
    }
    // Which it may have become already.
    const v1::PendingDiskChange& change = guest.pending_disk_change();
    if (!change.mirror()) continue;
    users.emplace(change.volume(), VolumeUser{.guest = guest.name(),
                                              .disk_id = change.disk_id(),
                                              .writes = true,
                                              .running = guest.state() == v1::Guest::RUNNING});
  }
  return users;
}

}  // namespace berth::server

// Which guests have which volumes as their disks, whether they run or not.
#pragma once

#include <map>
#include <string>

#include "server/guest/guest_book.h"

namespace berth::server {

// A disk of a guest.
struct VolumeUser {
  std::string guest;    // "guests/web"
  std::string disk_id;  // "disk0"
  bool writes = false;
  bool running = false;
};

// By the volume's name; what a guest has as two disks is there twice.
using VolumeUsers = std::multimap<std::string, VolumeUser>;
VolumeUsers UsersOfVolumes(GuestBook& book);

}  // namespace berth::server

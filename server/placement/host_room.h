// What of a host is left beside what running guests were promised. Promised, not used: two guests that start
// one after the other do not count the same idle CPU.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "server/placement/host_model.h"
#include "server/placement/ledger.h"

namespace berth::server {

struct HostRoom {
  struct Node {
    std::vector<uint64_t> promised_bytes;  // By index of HostModel::Node::pages.
    int64_t shared_millicpus = 0;          // Promised.
    int devices = 0;                       // Left, of HostModel::Node::devices.
  };
  struct Guest {
    std::string name;
    NodeMask nodes = 0;
    std::vector<std::string> apart_from;
  };
  std::vector<uint8_t> free;  // By core: dedicable threads that nobody has.
  std::vector<Node> nodes;
  std::vector<Guest> guests;
  std::set<std::string> devices;  // Taken.

  explicit HostRoom(const HostModel& model);
  void Take(const HostModel& model, const Reservation& reservation);
  // Of what was taken before, under the same name.
  void Return(const HostModel& model, const Reservation& reservation);
};

HostRoom RoomBeside(const HostModel& model, const Ledger& ledger);

}  // namespace berth::server

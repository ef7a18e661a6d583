// A way to choose hosts and places on them. All rules are told the same and are held to the same capacity;
// what differs is what they choose.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/placement/host_room.h"
#include "tests/bench/fleet/workload.h"

namespace berth::fleet {

inline constexpr int kMillicpusPerSharedVcpu = 250;  // A ratio of 4 for everybody.

struct Host {
  const server::HostModel* model = nullptr;
  server::HostRoom room;
  // Left on the whole host.
  int threads = 0;
  int64_t millicpus = 0;  // Of shared and dedicated CPUs together.
  uint64_t bytes = 0;
  int devices = 0;
  int total_threads = 0;
  uint64_t total_bytes = 0;

  explicit Host(const server::HostModel& of);
  void Take(const server::Reservation& reservation, int sign);
  // Whether the guest fits if nodes were no matter.
  bool MayHold(const Arrival& guest) const;
  // The free devices of a node, by index; keys as in DeviceOf.
  std::vector<std::string> FreeDevices(int node, size_t most) const;
};

class Rule {
 public:
  virtual ~Rule() = default;
  virtual std::string name() const = 0;
  // Hosts are tried from the highest on; equal ones by number.
  virtual double Preference(const Host& host, const Arrival& guest) const = 0;
  // How many hosts that take the guest are compared by cost; 1: the first is taken.
  virtual int compares() const { return 1; }
  struct Offer {
    server::Reservation reservation;
    int64_t cost = 0;  // Less is better.
    // Other hosts may do better: more of them than compares() are asked while this is so, up to kMaxOffers.
    bool compromise = false;
  };
  static constexpr int kMaxOffers = 64;
  virtual std::optional<Offer> Place(const Host& host, const Arrival& guest,
                                     const std::string& name) const = 0;
};

std::unique_ptr<Rule> MakeBerth();
std::unique_ptr<Rule> MakeNova();
std::unique_ptr<Rule> MakeNumad();
std::unique_ptr<Rule> MakeIncus();
std::unique_ptr<Rule> MakeKubeVirt();

// For rules that do not say where memory goes, or CPUs that are shared: by what is free, as the kernel does.
// False if there is not enough on these nodes.
bool SpreadMemory(const Host& host, server::NodeMask nodes, uint64_t bytes, server::Reservation* reservation);
bool SpreadShared(const Host& host, server::NodeMask nodes, const Arrival& guest,
                  server::Reservation* reservation);
uint64_t FreeBytes(const Host& host, int node);
int FreeThreads(const Host& host, int node);  // That can be dedicated.
server::NodeMask AllNodes(const Host& host);
// `count` devices, those of `nodes` first; false if there are not as many.
bool TakeDevices(const Host& host, server::NodeMask nodes, int count, server::Reservation* reservation);
// `count` CPUs of the node in the order of their numbers.
void TakeThreadsInOrder(const Host& host, int node, int count, server::Reservation* reservation);

}  // namespace berth::fleet

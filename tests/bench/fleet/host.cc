#include <algorithm>
#include <bit>
#include <numeric>

#include "server/placement/node_room.h"
#include "server/placement/subsets.h"
#include "tests/bench/fleet/rule.h"
#include "tests/fakes/made_host.h"

namespace berth::fleet {

using server::IndicesOf;
using server::NodeMask;
using server::Reservation;

Host::Host(const server::HostModel& of) : model(&of), room(of) {
  for (uint8_t free : room.free) threads += std::popcount(free);
  for (const auto& node : of.nodes) {
    bytes += std::min(node.pages[0].total_bytes, node.pages[0].available_bytes);
    devices += node.devices;
  }
  total_threads = threads;
  total_bytes = bytes;
  millicpus = int64_t{1000} * threads;
}

void Host::Take(const Reservation& reservation, int sign) {
  sign > 0 ? room.Take(*model, reservation) : room.Return(*model, reservation);
  const auto dedicated = static_cast<int>(reservation.dedicated_cpus.size());
  threads -= sign * dedicated;
  millicpus -= int64_t{1000} * sign * dedicated;
  for (const auto& shared : reservation.shared_cpus) millicpus -= sign * shared.millicpus;
  for (const auto& memory : reservation.memory) bytes -= static_cast<uint64_t>(sign) * memory.size_bytes;
  devices -= sign * static_cast<int>(reservation.devices.size());
}

bool Host::MayHold(const Arrival& guest) const {
  const int64_t wanted = int64_t{guest.vcpus} * (guest.dedicated ? 1000 : kMillicpusPerSharedVcpu);
  return wanted <= millicpus && guest.vcpus <= threads && guest.bytes <= bytes && guest.devices <= devices;
}

std::vector<std::string> Host::FreeDevices(int node, size_t most) const {
  std::vector<std::string> keys;
  for (int i = 0; i < model->nodes[node].devices && keys.size() < most; ++i) {
    std::string key = host::DeviceOf(node, i).ToString();
    if (!room.devices.contains(key)) keys.push_back(std::move(key));
  }
  return keys;
}

uint64_t FreeBytes(const Host& host, int node) {
  const auto& pages = host.model->nodes[node].pages[0];
  const uint64_t capacity = std::min(pages.total_bytes, pages.available_bytes);
  return capacity - std::min(capacity, host.room.nodes[node].promised_bytes[0]);
}

int FreeThreads(const Host& host, int node) {
  return std::max(server::Summarize(*host.model, host.room, node, {}, server::kOrdinaryPageBytes).dedicable(),
                  0);
}

NodeMask AllNodes(const Host& host) {
  return host.model->nodes.size() == 64 ? ~NodeMask{0} : (NodeMask{1} << host.model->nodes.size()) - 1;
}

namespace {

// `total` by what is free, and what rounding leaves to whoever has room; empty if there is not enough.
std::vector<uint64_t> ByFree(uint64_t total, const std::vector<uint64_t>& free) {
  const uint64_t sum = std::accumulate(free.begin(), free.end(), uint64_t{0});
  if (sum < total) return {};
  std::vector<uint64_t> parts;
  uint64_t left = total;
  for (uint64_t one : free) {
    const double share = static_cast<double>(one) / static_cast<double>(std::max<uint64_t>(sum, 1));
    parts.push_back(std::min({left, one, static_cast<uint64_t>(share * static_cast<double>(total))}));
    left -= parts.back();
  }
  for (size_t i = 0; i < free.size(); ++i) {
    const uint64_t more = std::min(left, free[i] - parts[i]);
    parts[i] += more;
    left -= more;
  }
  return parts;
}

}  // namespace

bool SpreadMemory(const Host& host, NodeMask nodes, uint64_t bytes, Reservation* reservation) {
  const std::vector<int> indices = IndicesOf(nodes);
  std::vector<uint64_t> free;
  for (int node : indices) free.push_back(FreeBytes(host, node));
  const auto parts = ByFree(bytes, free);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i] > 0)
      reservation->memory.push_back({.host_node = host.model->nodes[indices[i]].id, .size_bytes = parts[i]});
  }
  return !parts.empty();
}

bool SpreadShared(const Host& host, NodeMask nodes, const Arrival& guest, Reservation* reservation) {
  const std::vector<int> indices = IndicesOf(nodes);
  std::vector<uint64_t> free;
  for (int node : indices) {
    const auto room = server::Summarize(*host.model, host.room, node, {}, server::kOrdinaryPageBytes);
    const int64_t left = int64_t{1000} * room.sharable - room.shared_millicpus;
    free.push_back(static_cast<uint64_t>(std::max<int64_t>(left, 0)));
  }
  const auto parts = ByFree(static_cast<uint64_t>(guest.vcpus) * kMillicpusPerSharedVcpu, free);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i] > 0)
      reservation->shared_cpus.push_back(
          {.host_node = host.model->nodes[indices[i]].id, .millicpus = static_cast<int>(parts[i])});
  }
  return !parts.empty();
}

bool TakeDevices(const Host& host, NodeMask nodes, int count, Reservation* reservation) {
  for (NodeMask from : {nodes, AllNodes(host) & ~nodes}) {
    for (int node : IndicesOf(from)) {
      for (std::string& key : host.FreeDevices(node, static_cast<size_t>(count))) {
        reservation->devices.push_back({.key = std::move(key), .host_node = host.model->nodes[node].id});
        --count;
      }
      if (count <= 0) return true;
    }
  }
  return count <= 0;
}

void TakeThreadsInOrder(const Host& host, int node, int count, Reservation* reservation) {
  for (int index : host.model->nodes[node].cores) {
    const auto& core = host.model->cores[index];
    for (size_t i = 0; i < core.cpus.size() && count > 0; ++i) {
      if ((host.room.free[index] >> i & 1) == 0) continue;
      reservation->dedicated_cpus.Insert(core.cpus[i]);
      --count;
    }
  }
}

}  // namespace berth::fleet

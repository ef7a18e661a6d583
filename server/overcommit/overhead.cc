#include "server/overcommit/overhead.h"

#include <algorithm>

namespace berth::server {
namespace {

constexpr uint64_t kEntryBytes = 8, kEntriesPerTable = 512;

uint64_t EstimateBytes(const GuestSize& guest) {
  return kMonitorBytes + kBytesPerVcpu * static_cast<uint64_t>(guest.vcpus) +
         kBytesPerDevice * static_cast<uint64_t>(guest.devices + guest.assigned_devices);
}

}  // namespace

uint64_t PageTableBytes(const GuestSize& guest) {
  uint64_t bytes = 0;
  for (uint64_t entries = guest.memory_bytes / std::max<uint64_t>(guest.page_size_bytes, 1); entries > 0;
       entries /= kEntriesPerTable) {
    const uint64_t tables = (entries + kEntriesPerTable - 1) / kEntriesPerTable;
    bytes += tables * kEntriesPerTable * kEntryBytes;
  }
  return guest.assigned_devices > 0 ? 2 * bytes : bytes;
}

uint64_t OverheadBytes(const GuestSize& guest, const std::vector<OverheadSample>& samples) {
  const size_t first = samples.size() - std::min(samples.size(), kMaxOverheadSamples);
  const uint64_t estimate = EstimateBytes(guest);
  uint64_t monitor = samples.empty() ? estimate : 0;
  for (size_t i = first; i < samples.size(); ++i) {
    const double scale = static_cast<double>(estimate) / static_cast<double>(EstimateBytes(samples[i].guest));
    monitor = std::max(monitor, static_cast<uint64_t>(static_cast<double>(samples[i].measured_bytes) *
                                                      std::max(scale, 1.0)));
  }
  return PageTableBytes(guest) + monitor;
}

}  // namespace berth::server

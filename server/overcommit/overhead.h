// What a guest costs its host beyond its memory: the monitor's own, and the kernel's tables about it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace berth::server {

struct GuestSize {
  uint64_t memory_bytes = 0;
  uint64_t page_size_bytes = 4096;
  int vcpus = 0;
  int devices = 0;           // Emulated.
  int assigned_devices = 0;  // Their DMA has tables of its own, once for all.
};

// Page tables, by arithmetic: 8 bytes for each page, and for each 512 of those again, in the tables of the
// second stage and, with assigned devices, of the IOMMU (Intel SDM volume 3, 29.3; VT-d 3.7).
uint64_t PageTableBytes(const GuestSize& guest);

// The monitor's own memory, as measured: `measured_bytes` is its private memory outside the guest's.
struct OverheadSample {
  GuestSize guest;
  uint64_t measured_bytes = 0;
};

// An estimate for the monitor before anything was measured here, in bytes.
inline constexpr uint64_t kMonitorBytes = uint64_t{24} << 20;
inline constexpr uint64_t kBytesPerVcpu = uint64_t{256}
                                          << 10;  // A thread's stack that is touched, vCPU state.
inline constexpr uint64_t kBytesPerDevice = uint64_t{1} << 20;  // Queues, buffers.
inline constexpr size_t kMaxOverheadSamples = 1024;             // The latest count.

// Page tables, and the estimate for the monitor scaled by the worst that the samples show: never less than
// what a monitor of its kind was seen to take.
uint64_t OverheadBytes(const GuestSize& guest, const std::vector<OverheadSample>& samples);

}  // namespace berth::server

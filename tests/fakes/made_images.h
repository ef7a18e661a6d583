// Small images of formats that nothing here creates, made by hand after their specifications.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace berth::block {

inline constexpr uint64_t kMadeClusterBytes = 4096;

// A disk of 1 MiB: cluster 0 is filled with 7, cluster 2 says that it is zero.
inline std::vector<uint8_t> MakeQed() {
  std::vector<uint8_t> bytes(4 * kMadeClusterBytes, 0);
  StoreLe<uint32_t>(&bytes[0], 0x00444551);
  StoreLe<uint32_t>(&bytes[4], kMadeClusterBytes);
  StoreLe<uint32_t>(&bytes[8], 1);                   // Clusters of a table,
  StoreLe<uint32_t>(&bytes[12], 1);                  // of the header.
  StoreLe<uint64_t>(&bytes[40], kMadeClusterBytes);  // L1 table.
  StoreLe<uint64_t>(&bytes[48], 1 << 20);
  StoreLe<uint64_t>(&bytes[kMadeClusterBytes], 2 * kMadeClusterBytes);
  StoreLe<uint64_t>(&bytes[2 * kMadeClusterBytes], 3 * kMadeClusterBytes);
  StoreLe<uint64_t>(&bytes[2 * kMadeClusterBytes + 16], 1);
  std::fill(bytes.end() - kMadeClusterBytes, bytes.end(), 7);
  return bytes;
}

// The same without the zero cluster.
inline std::vector<uint8_t> MakeParallels() {
  constexpr std::string_view kMagic = "WithouFreSpacExt";
  std::vector<uint8_t> bytes(2 * kMadeClusterBytes, 0);
  std::copy(kMagic.begin(), kMagic.end(), bytes.begin());
  StoreLe<uint32_t>(&bytes[16], 2);
  StoreLe<uint32_t>(&bytes[28], kMadeClusterBytes / 512);
  StoreLe<uint32_t>(&bytes[32], 256);
  StoreLe<uint64_t>(&bytes[36], 2048);
  StoreLe<uint32_t>(&bytes[64], 1);
  std::fill(bytes.end() - kMadeClusterBytes, bytes.end(), 7);
  return bytes;
}

}  // namespace berth::block

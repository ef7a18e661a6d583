// VFIO's extensible structures: queries that grow until everything fits, and the chains of capabilities
// behind them
// (<linux/vfio.h>, "argsz" and struct vfio_info_cap_header).
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <vector>

#include "base/error.h"
#include "vfio/syscalls.h"

namespace berth::vfio {

// More than any driver has to say: thousands of sparse areas.
inline constexpr uint32_t kMaxInfoBytes = 256 * 1024;

// Issues `request` with `head` (its argsz still to be filled in) and, while the kernel answers that more
// would fit a larger argsz, again with that. Returns all that was answered, zeros included. INTERNAL if the
// kernel asks for more than kMaxInfoBytes or for more at every try.
Result<std::vector<uint8_t>> QueryInfo(Syscalls& syscalls, int fd, unsigned long request,
                                       std::span<const uint8_t> head, std::string_view what);

// The same for a structure that starts with argsz: `query` holds the fields to ask with and gets the
// answer's.
template <typename T>
Result<std::vector<uint8_t>> QueryInfo(Syscalls& syscalls, int fd, unsigned long request, T* query,
                                       std::string_view what) {
  std::vector<uint8_t> answer =
      TRY(QueryInfo(syscalls, fd, request, {reinterpret_cast<const uint8_t*>(query), sizeof(T)}, what));
  std::memcpy(query, answer.data(), sizeof(T));
  return answer;
}

// Calls `visit` with every capability from `first` (an offset into `info`; 0 for none): its id, its version,
// and all bytes from its header to the end of `info`. A chain that loops or leaves `info` ends there.
void ForEachInfoCapability(
    std::span<const uint8_t> info, uint32_t first,
    const std::function<void(uint16_t id, uint16_t version, std::span<const uint8_t> capability)>& visit);

}  // namespace berth::vfio

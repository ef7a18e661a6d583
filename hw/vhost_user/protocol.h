// Messages of the vhost-user protocol, from the back-end's side: a front-end (a VMM) has somebody else serve
// the queues of its virtio device. QEMU's documentation, "Vhost-user Protocol"; names are those of the
// specification.
#pragma once

#include <cstdint>

namespace berth::hw {

enum class VhostUserRequest : uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kResetOwner = 4,
  kSetMemTable = 5,
  kSetVringNum = 8,
  kSetVringAddr = 9,
  kSetVringBase = 10,
  kGetVringBase = 11,
  kSetVringKick = 12,
  kSetVringCall = 13,
  kSetVringErr = 14,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kGetQueueNum = 17,
  kSetVringEnable = 18,
  kGetConfig = 24,
  kSetConfig = 25,
  kGetMaxMemSlots = 36,
  kAddMemReg = 37,
  kRemMemReg = 38,
};

struct VhostUserHeader {
  uint32_t request = 0;
  uint32_t flags = 0;
  uint32_t size = 0;  // Of the payload.
};
static_assert(sizeof(VhostUserHeader) == 12);

// Of VhostUserHeader::flags.
inline constexpr uint32_t kVhostUserVersion = 1, kVhostUserVersionMask = 3, kVhostUserReply = 1 << 2,
                          kVhostUserNeedReply = 1 << 3;

// Among the device's features: the protocol's own may be asked for.
inline constexpr uint64_t kVhostUserProtocolFeatures = 1ull << 30;
// Of the protocol.
inline constexpr uint64_t kVhostUserMultiQueue = 1ull << 0, kVhostUserReplyAck = 1ull << 3,
                          kVhostUserConfig = 1ull << 9, kVhostUserMemSlots = 1ull << 15;

// Payloads.
struct VhostUserVringState {
  uint32_t index = 0;
  uint32_t value = 0;
};
struct VhostUserVringAddr {
  uint32_t index = 0;
  uint32_t flags = 0;
  uint64_t descriptor = 0;  // Addresses of the front-end's, as are the next.
  uint64_t used = 0;
  uint64_t available = 0;
  uint64_t log = 0;
};
struct VhostUserMemoryRegion {
  uint64_t guest_address = 0;
  uint64_t size = 0;
  uint64_t user_address = 0;  // The front-end's.
  uint64_t mmap_offset = 0;   // In the file that comes with it.
};
// Of a descriptor's message: which ring, and that no descriptor comes with it.
inline constexpr uint64_t kVhostUserVringIndexMask = 0xff, kVhostUserVringNoFd = 1 << 8;

struct VhostUserConfigHeader {
  uint32_t offset = 0;
  uint32_t size = 0;
  uint32_t flags = 0;
};
inline constexpr uint32_t kVhostUserMaxConfigBytes = 256;

// The most regions in one table, by the protocol; and in all, which come one by one.
inline constexpr uint32_t kVhostUserTableRegions = 8;
inline constexpr uint32_t kVhostUserMaxRegions = 64;
// No payload here is longer.
inline constexpr uint32_t kVhostUserMaxPayloadBytes = 1024;

}  // namespace berth::hw

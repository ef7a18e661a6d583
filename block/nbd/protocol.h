// Numbers of the NBD protocol (https://github.com/NetworkBlockDevice/nbd, doc/proto.md). Everything on the
// wire is big-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace berth::block::nbd {

inline constexpr uint64_t kInitMagic = 0x4e42444d41474943;    // NBDMAGIC
inline constexpr uint64_t kOptionMagic = 0x49484156454f5054;  // IHAVEOPT
inline constexpr uint64_t kOldstyleMagic = 0x00420281861253;
inline constexpr uint64_t kOptionReplyMagic = 0x0003e889045565a9;
inline constexpr uint32_t kRequestMagic = 0x25609513;
inline constexpr uint32_t kSimpleReplyMagic = 0x67446698;
inline constexpr uint32_t kStructuredReplyMagic = 0x668e33ef;
inline constexpr uint32_t kExtendedRequestMagic = 0x21e41c71;
inline constexpr uint32_t kExtendedReplyMagic = 0x6e8a278c;

// Sizes of what is on the wire.
inline constexpr size_t kOptionHeaderBytes = 16;
inline constexpr size_t kOptionReplyHeaderBytes = 20;
inline constexpr size_t kRequestBytes = 28;
inline constexpr size_t kExtendedRequestBytes = 32;
inline constexpr size_t kSimpleReplyBytes = 16;
inline constexpr size_t kStructuredReplyBytes = 20;
inline constexpr size_t kExtendedReplyBytes = 32;

// Handshake flags of the server, and the client's answers to them.
inline constexpr uint16_t kFixedNewstyle = 1 << 0, kNoZeroes = 1 << 1;

enum Option : uint32_t {
  kOptExportName = 1,
  kOptAbort = 2,
  kOptList = 3,
  kOptStartTls = 5,
  kOptInfo = 6,
  kOptGo = 7,
  kOptStructuredReply = 8,
  kOptListMetaContext = 9,
  kOptSetMetaContext = 10,
  kOptExtendedHeaders = 11,
};

enum OptionReply : uint32_t {
  kRepAck = 1,
  kRepServer = 2,
  kRepInfo = 3,
  kRepMetaContext = 4,
  kRepErrUnsupported = 0x80000001,
  kRepErrPolicy = 0x80000002,
  kRepErrInvalid = 0x80000003,
  kRepErrPlatform = 0x80000004,
  kRepErrTlsRequired = 0x80000005,
  kRepErrUnknown = 0x80000006,
  kRepErrShutdown = 0x80000007,
  kRepErrBlockSizeRequired = 0x80000008,
  kRepErrTooBig = 0x80000009,
};
inline constexpr uint32_t kRepIsError = 0x80000000;

enum Info : uint16_t { kInfoExport = 0, kInfoName = 1, kInfoDescription = 2, kInfoBlockSize = 3 };

enum TransmissionFlag : uint16_t {
  kFlagHasFlags = 1 << 0,
  kFlagReadOnly = 1 << 1,
  kFlagSendFlush = 1 << 2,
  kFlagSendFua = 1 << 3,
  kFlagRotational = 1 << 4,
  kFlagSendTrim = 1 << 5,
  kFlagSendWriteZeroes = 1 << 6,
  kFlagSendDf = 1 << 7,
  kFlagCanMultiConn = 1 << 8,
  kFlagSendResize = 1 << 9,
  kFlagSendCache = 1 << 10,
  kFlagSendFastZero = 1 << 11,
};

enum Command : uint16_t {
  kCmdRead = 0,
  kCmdWrite = 1,
  kCmdDisconnect = 2,
  kCmdFlush = 3,
  kCmdTrim = 4,
  kCmdCache = 5,
  kCmdWriteZeroes = 6,
  kCmdBlockStatus = 7,
};

enum CommandFlag : uint16_t {
  kCmdFua = 1 << 0,
  kCmdNoHole = 1 << 1,
  kCmdDontFragment = 1 << 2,
  kCmdOneExtent = 1 << 3,
  kCmdFastZero = 1 << 4,
  kCmdPayloadLength = 1 << 5,
};

enum Chunk : uint16_t {
  kChunkNone = 0,
  kChunkOffsetData = 1,
  kChunkOffsetHole = 2,
  kChunkBlockStatus = 5,
  kChunkBlockStatusExtended = 6,
  kChunkError = 0x8001,
  kChunkErrorOffset = 0x8002,
};
inline constexpr uint16_t kChunkDone = 1;                    // Flag: the last one of its reply.
inline constexpr uint16_t kChunkIsError = 0x8000;            // Bit of the type.
inline constexpr uint32_t kStatusHole = 1, kStatusZero = 2;  // base:allocation
inline constexpr uint32_t kStatusDirty = 1;                  // qemu:dirty-bitmap:

inline constexpr std::string_view kBaseAllocation = "base:allocation";
inline constexpr std::string_view kAllocationDepth = "qemu:allocation-depth";
inline constexpr std::string_view kDirtyBitmap = "qemu:dirty-bitmap:";  // And its name.

// Limits. Strings: the protocol's. Payloads: what everybody takes without being asked.
inline constexpr size_t kMaxStringBytes = 4096;
inline constexpr uint32_t kMaxPayloadBytes = 32 << 20;
inline constexpr uint16_t kDefaultPort = 10809;

// Between errno values and the protocol's numbers for errors. What has none is EINVAL.
uint32_t ErrorToWire(int error);
int ErrorFromWire(uint32_t error);

}  // namespace berth::block::nbd

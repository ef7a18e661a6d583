#include "block/nbd/image.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <shared_mutex>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"
#include "base/pieces.h"
#include "block/nbd/address.h"
#include "block/nbd/client.h"
#include "block/nbd/tls.h"

namespace berth::block::nbd {
namespace {

// Servers' block sizes beyond these are no sense.
constexpr uint32_t kMaxMinBlockBytes = 64 << 10;
// Of zeroes and discards, which carry no payload.
constexpr uint32_t kMaxRangeBytes = 1 << 30;
constexpr uint64_t kSectorBytes = 512;

class NbdImage final : public Image {
 public:
  NbdImage(Session session, const OpenFlags& flags) : client_(std::move(session)), flags_(flags) {
    const ExportInfo& info = client_.info();
    block_ = std::max(1u, info.min_block_bytes);
    size_ = AlignDown(std::min<uint64_t>(info.size_bytes, INT64_MAX), block_);
    max_payload_ =
        info.max_block_bytes == 0 ? kMaxPayloadBytes : std::min(info.max_block_bytes, kMaxPayloadBytes);
    max_payload_ = std::max(block_, static_cast<uint32_t>(AlignDown(max_payload_, block_)));
    limits_.block_size_bytes = block_;
    limits_.optimal_io_size_bytes = info.preferred_block_bytes;
    limits_.discard_granularity_bytes = block_;
    limits_.read_only = !flags.writable;
  }

  uint64_t size_bytes() const override { return size_; }
  const Limits& limits() const override { return limits_; }
  int Perform(const Request& request) override;
  Result<Extent> Map(uint64_t offset, uint64_t length) override;

 private:
  bool Can(TransmissionFlag flag) const { return (client_.info().flags & flag) != 0; }
  uint16_t Fua(bool fua) const { return fua && Can(kFlagSendFua) ? kCmdFua : 0; }
  int Transfer(const Request& request, bool fua);
  // What a disk of whole sectors has behind the last byte of the export is zero.
  int ReadPastEnd(const Request& request);
  int ReadWhole(const Request& request);
  int WritePart(const Request& request, bool fua);
  int Pieces(Command type, uint16_t command_flags, uint64_t offset, uint64_t length,
             std::span<const iovec> pieces);
  int Zero(const Request& request, bool fua);
  int Trim(const Request& request);
  int FlushAll() { return Can(kFlagSendFlush) ? client_.Perform({.type = kCmdFlush}) : 0; }

  Client client_;
  const OpenFlags flags_;
  uint32_t block_ = 1;
  uint64_t size_ = 0;
  uint32_t max_payload_ = 0;
  Limits limits_;
  // A write of parts of blocks reads and writes whole ones: alone.
  std::shared_mutex turn_;
  // What the last answer said of the bytes behind those it was asked for. Each is told once, and none after a
  // change.
  Mutex mutex_;
  std::map<uint64_t, StatusExtent> ahead_ GUARDED_BY(mutex_);
};

int NbdImage::Perform(const Request& request) {
  if (request.op == Op::kFlush) return flags_.no_flush ? 0 : FlushAll();
  if (request.op == Op::kRead && request.offset + request.length > size_) return ReadPastEnd(request);
  if (const int error = CheckRequest(request, size_, limits_.read_only); error != 0) return error;
  if (request.length == 0) return 0;
  if (request.op != Op::kRead) {
    MutexLock lock(mutex_);
    ahead_.clear();
  }
  const bool fua = (request.fua || flags_.write_through) && !flags_.no_flush;
  int error = 0;
  switch (request.op) {
    case Op::kRead:
    case Op::kWrite:
      error = Transfer(request, fua);
      break;
    case Op::kWriteZeroes:
      error = Zero(request, fua);
      break;
    case Op::kDiscard:
      return Trim(request);
    case Op::kFlush:
      break;
  }
  if (error == 0 && fua && request.op != Op::kRead && !Can(kFlagSendFua)) error = FlushAll();
  return error;
}

int NbdImage::Transfer(const Request& request, bool fua) {
  const bool whole = IsAligned(request.offset, block_) && IsAligned(request.length, block_);
  if (request.op == Op::kRead) {
    return whole ? Pieces(kCmdRead, 0, request.offset, request.length, request.pieces) : ReadWhole(request);
  }
  if (!whole) return WritePart(request, fua);
  std::shared_lock shared(turn_, std::defer_lock);
  if (block_ != 1) shared.lock();
  return Pieces(kCmdWrite, Fua(fua), request.offset, request.length, request.pieces);
}

int NbdImage::Pieces(Command type, uint16_t command_flags, uint64_t offset, uint64_t length,
                     std::span<const iovec> pieces) {
  std::vector<iovec> part;
  for (uint64_t done = 0; done < length;) {
    SlicePieces(pieces, done, std::min<uint64_t>(length - done, max_payload_), &part);
    uint64_t size = 0;
    for (const iovec& piece : part) size += piece.iov_len;
    // So many small pieces that they end inside a block go by way of a buffer.
    std::vector<uint8_t> bounce;
    if (!IsAligned(size, block_)) {
      size = std::min<uint64_t>(length - done, max_payload_);
      bounce.resize(size);
      if (type == kCmdWrite) CopyFromPieces(pieces, done, bounce);
      part = {{bounce.data(), size}};
    }
    const int error = client_.Perform({.type = type,
                                       .flags = command_flags,
                                       .offset = offset + done,
                                       .length = static_cast<uint32_t>(size),
                                       .pieces = part});
    if (error != 0) return error;
    if (!bounce.empty() && type == kCmdRead) CopyToPieces(pieces, done, bounce);
    done += size;
  }
  return 0;
}

int NbdImage::ReadPastEnd(const Request& request) {
  if (!Range{0, AlignUp(size_, kSectorBytes)}.Contains(request.offset, request.length)) return EINVAL;
  const uint64_t there = size_ - std::min(size_, request.offset);
  ZeroPieces(request.pieces, there);
  std::vector<uint8_t> bytes(there);
  if (const int error = Read(this, request.offset, bytes); error != 0) return error;
  CopyToPieces(request.pieces, 0, bytes);
  return 0;
}

int NbdImage::ReadWhole(const Request& request) {
  const uint64_t start = AlignDown(request.offset, block_);
  std::vector<uint8_t> buffer(AlignUp(request.offset + request.length, block_) - start);
  const iovec piece{buffer.data(), buffer.size()};
  const int error = Pieces(kCmdRead, 0, start, buffer.size(), {&piece, 1});
  if (error == 0) {
    CopyToPieces(request.pieces, 0, std::span(buffer).subspan(request.offset - start, request.length));
  }
  return error;
}

int NbdImage::WritePart(const Request& request, bool fua) {
  const std::unique_lock alone(turn_);
  const uint64_t start = AlignDown(request.offset, block_);
  std::vector<uint8_t> buffer(AlignUp(request.offset + request.length, block_) - start);
  const iovec piece{buffer.data(), buffer.size()};
  if (const int error = Pieces(kCmdRead, 0, start, buffer.size(), {&piece, 1}); error != 0) return error;
  CopyFromPieces(request.pieces, 0, std::span(buffer).subspan(request.offset - start, request.length));
  return Pieces(kCmdWrite, Fua(fua), start, buffer.size(), {&piece, 1});
}

int NbdImage::Zero(const Request& request, bool fua) {
  const uint64_t start = AlignUp(request.offset, block_),
                 end = AlignDown(request.offset + request.length, block_);
  const bool can = Can(kFlagSendWriteZeroes) && start < end;
  const uint16_t command_flags = static_cast<uint16_t>(Fua(fua) | (request.may_unmap ? 0 : kCmdNoHole));
  // Parts of blocks, and servers that cannot, get them as data.
  const auto write = [&](uint64_t from, uint64_t to) {
    const std::vector<uint8_t> zeroes(std::min<uint64_t>(to - from, 1 << 20));
    for (; from < to; from += std::min<uint64_t>(zeroes.size(), to - from)) {
      const iovec piece{const_cast<uint8_t*>(zeroes.data()), std::min<uint64_t>(zeroes.size(), to - from)};
      const Request part{.op = Op::kWrite, .offset = from, .length = piece.iov_len, .pieces = {&piece, 1}};
      if (const int error = Transfer(part, fua); error != 0) return error;
    }
    return 0;
  };
  if (!can) return write(request.offset, request.offset + request.length);
  if (const int error = write(request.offset, start); error != 0) return error;
  for (uint64_t at = start; at < end;) {
    const auto step = static_cast<uint32_t>(std::min<uint64_t>(end - at, AlignDown(kMaxRangeBytes, block_)));
    const int error =
        client_.Perform({.type = kCmdWriteZeroes, .flags = command_flags, .offset = at, .length = step});
    if (error != 0) return error;
    at += step;
  }
  return write(end, request.offset + request.length);
}

int NbdImage::Trim(const Request& request) {
  if (!Can(kFlagSendTrim)) return 0;
  const uint64_t end = AlignDown(request.offset + request.length, block_);
  for (uint64_t at = AlignUp(request.offset, block_); at < end;) {
    const auto step = static_cast<uint32_t>(std::min<uint64_t>(end - at, AlignDown(kMaxRangeBytes, block_)));
    if (const int error = client_.Perform({.type = kCmdTrim, .offset = at, .length = step}); error != 0)
      return error;
    at += step;
  }
  return 0;
}

Result<Extent> NbdImage::Map(uint64_t offset, uint64_t length) {
  Extent extent{.offset = offset, .length = length, .allocated = true, .data = true, .stored_at = offset};
  if (!client_.has_context()) return extent;
  const auto describe = [&](const StatusExtent& status) {
    extent.length = std::min<uint64_t>(length, status.length);
    extent.data = (status.flags & kStatusHole) == 0;
    extent.zero = (status.flags & kStatusZero) != 0;
    return extent;
  };
  {
    MutexLock lock(mutex_);
    if (const auto known = ahead_.find(offset); known != ahead_.end()) {
      const StatusExtent status = known->second;
      ahead_.erase(known);
      return describe(status);
    }
  }
  std::vector<StatusExtent> extents;
  const uint64_t start = AlignDown(offset, block_);
  const uint64_t ask = std::min<uint64_t>(size_ - start, AlignDown(UINT32_MAX, std::max(block_, 1u << 16)));
  const int error = client_.Perform(
      {.type = kCmdBlockStatus, .offset = start, .length = static_cast<uint32_t>(ask), .extents = &extents});
  if (error != 0 || extents.empty())
    return FailErrno(error != 0 ? error : EIO, "ask for the status of blocks");
  extents[0].length -= std::min<uint32_t>(static_cast<uint32_t>(offset - start), extents[0].length - 1);
  MutexLock lock(mutex_);
  ahead_.clear();
  uint64_t at = offset + extents[0].length;
  for (size_t i = 1; i < extents.size(); at += extents[i++].length) ahead_.emplace(at, extents[i]);
  return describe(extents[0]);
}

Result<std::unique_ptr<Image>> OpenNbd(Options* options, const OpenFlags& flags) {
  HandshakeOptions handshake{.context = std::string(kBaseAllocation)};
  if (const auto context = Take(options, "x-dirty-bitmap")) handshake.context = *context;
  if (const auto id = Take(options, "tls-creds")) handshake.tls = TRY(FindTlsCredentials(*id, false));
  const Address address = TRY(TakeAddress(options));
  handshake.tls_hostname = Take(options, "tls-hostname").value_or(address.host);
  handshake.export_name = address.export_name;
  Session session = TRY(ClientHandshake(CreateChannel(TRY(Connect(address))), handshake));
  if (handshake.context != kBaseAllocation && !session.context_id) {
    return Fail(Code::kNotFound, "requested x-dirty-bitmap {} not found", handshake.context);
  }
  auto image = TRY(CreateNbdImage(std::move(session), flags));
  image->SetIdentity("nbd", address.ToUri());
  return image;
}

// Exports are the server's to make: what is here is emptied, so that nobody takes it for what it was.
Status CreateNbd(const std::string& filename, const CreateOptions& options) {
  Options where{{"filename", filename}};
  auto image = TRY(OpenNbd(&where, {.writable = true}));
  if (image->size_bytes() < options.Number("size")) {
    return Fail(Code::kResourceExhausted, "the export '{}' is smaller than the image", filename);
  }
  const int error = WriteZeroes(image.get(), 0, std::min(image->size_bytes(), kSectorBytes), false);
  if (error != 0) return FailErrno(error, "Could not clear the beginning of '{}'", filename);
  return Ok();
}

constexpr CreateOption kCreateOptions[] = {{"size", CreateOption::Type::kSize, "Virtual disk size"}};
constexpr std::string_view kUriPrefixes[] = {"nbd+tcp:", "nbd+unix:"};

}  // namespace

Result<std::unique_ptr<Image>> CreateNbdImage(Session session, const OpenFlags& flags) {
  const ExportInfo& info = session.info;
  if (flags.writable && (info.flags & kFlagReadOnly) != 0) {
    return Fail(Code::kPermissionDenied, "request on write denied: the export is read-only");
  }
  const uint32_t block = std::max(1u, info.min_block_bytes);
  if (!IsPowerOfTwo(block) || block > kMaxMinBlockBytes ||
      (info.max_block_bytes != 0 && info.max_block_bytes < block)) {
    return Fail(Code::kUnavailable, "server advertises blocks of {} to {} bytes", block,
                info.max_block_bytes);
  }
  return std::make_unique<NbdImage>(std::move(session), flags);
}

}  // namespace berth::block::nbd

namespace berth::block {
const Protocol kNbdProtocol{.name = "nbd",
                            .prefix = "nbd:",
                            .more_prefixes = nbd::kUriPrefixes,
                            .open = nbd::OpenNbd,
                            .create_options = nbd::kCreateOptions,
                            .create = nbd::CreateNbd};
}

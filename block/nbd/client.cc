#include "block/nbd/client.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/bytes.h"
#include "base/log.h"
#include "base/pieces.h"

namespace berth::block::nbd {
namespace {

// Extents of one answer that are kept; what is behind them is asked for again.
constexpr uint32_t kMaxExtents = 4096;
constexpr size_t kExtentBytes = 8;

Status Breach(std::string_view what) { return Fail(Code::kDataLoss, "the NBD server {}", what); }

}  // namespace

Client::Client(Session session) : session_(std::move(session)) {}

Client::~Client() {
  const Call goodbye{.type = kCmdDisconnect};
  (void)Send(goodbye, 0);
  session_.channel->Close();
}

int Client::Perform(const Call& call) {
  Slot* const slot = Acquire(call);
  if (slot == nullptr) return EIO;
  {
    MutexLock lock(sending_);
    if (!Send(call, slot->cookie)) Break();
  }
  Await(slot);
  MutexLock lock(mutex_);
  const int error = slot->done ? slot->error : EIO;
  slot->command = nullptr;
  changed_.notify_all();
  return error;
}

Client::Slot* Client::Acquire(const Call& call) {
  MutexLock lock(mutex_);
  while (!broken_) {
    for (size_t i = 0; i < kSlots; ++i) {
      if (slots_[i].command != nullptr) continue;
      slots_[i] = {.command = &call, .cookie = ++next_cookie_ * kSlots + i};
      return &slots_[i];
    }
    lock.Wait(changed_);
  }
  return nullptr;
}

void Client::Await(Slot* slot) {
  while (true) {
    {
      MutexLock lock(mutex_);
      // Whoever reads may be writing into the request's memory: it is waited for even when all is lost.
      while (receiving_ && !slot->done) lock.Wait(changed_);
      if (slot->done || broken_) return;
      receiving_ = true;
    }
    const Status received = ReceiveOne();
    if (!received) {
      LOG_WARNING_LIMITED("{}", received.error().message());
      Break();
    }
    MutexLock lock(mutex_);
    receiving_ = false;
    changed_.notify_all();
  }
}

void Client::Break() {
  MutexLock lock(mutex_);
  broken_ = true;
  ::shutdown(session_.channel->fd(), SHUT_RDWR);
  changed_.notify_all();
}

Status Client::Send(const Call& call, uint64_t cookie) {
  std::array<uint8_t, kRequestBytes> header;
  StoreBe<uint32_t>(&header[0], kRequestMagic);
  StoreBe<uint16_t>(&header[4], call.flags);
  StoreBe<uint16_t>(&header[6], call.type);
  StoreBe<uint64_t>(&header[8], cookie);
  StoreBe<uint64_t>(&header[16], call.offset);
  StoreBe<uint32_t>(&header[24], call.length);
  if (call.type != kCmdWrite) return WriteAll(session_.channel.get(), header);
  std::vector<iovec> pieces{{header.data(), header.size()}};
  pieces.insert(pieces.end(), call.pieces.begin(), call.pieces.end());
  return WriteAll(session_.channel.get(), pieces);
}

Client::Slot* Client::Find(uint64_t cookie) {
  MutexLock lock(mutex_);
  Slot& slot = slots_[cookie % kSlots];
  return slot.cookie == cookie && slot.command != nullptr && !slot.done ? &slot : nullptr;
}

void Client::Finish(Slot* slot) {
  const Call& call = *slot->command;
  if (slot->error == 0 && call.type == kCmdRead && slot->received != call.length) slot->error = EIO;
  MutexLock lock(mutex_);
  slot->done = true;
}

Status Client::ReceiveOne() {
  std::array<uint8_t, kSimpleReplyBytes> start;
  TRY(ReadAll(session_.channel.get(), start));
  const auto magic = LoadBe<uint32_t>(&start[0]);
  if (magic == kSimpleReplyMagic) return ReceiveSimple(start);
  if (magic == kStructuredReplyMagic && session_.structured_replies) return ReceiveChunk(start);
  return Breach("sent something that is no reply");
}

Status Client::ReceiveSimple(std::span<const uint8_t> start) {
  Slot* const slot = Find(LoadBe<uint64_t>(&start[8]));
  if (slot == nullptr) return Breach("answered what was not asked");
  const Call& call = *slot->command;
  slot->error = ErrorFromWire(LoadBe<uint32_t>(&start[4]));
  if (slot->error == 0 && call.type == kCmdRead) {
    if (session_.structured_replies) return Breach("answered a read with a simple reply");
    TRY(ReceiveData(slot, call.offset, call.length, false));
  }
  if (slot->error == 0 && call.type == kCmdBlockStatus) return Breach("answered without a status");
  Finish(slot);
  return Ok();
}

Status Client::ReceiveChunk(std::span<const uint8_t> start) {
  const auto flags = LoadBe<uint16_t>(&start[4]), type = LoadBe<uint16_t>(&start[6]);
  Slot* const slot = Find(LoadBe<uint64_t>(&start[8]));
  if (slot == nullptr) return Breach("answered what was not asked");
  Channel* const channel = session_.channel.get();
  std::array<uint8_t, 4> length_bytes;
  TRY(ReadAll(channel, length_bytes));
  const auto length = LoadBe<uint32_t>(length_bytes.data());
  switch (type) {
    case kChunkNone:
      if (length != 0 || (flags & kChunkDone) == 0) return Breach("sent an empty chunk that is none");
      break;
    case kChunkOffsetData:
    case kChunkOffsetHole: {
      const bool hole = type == kChunkOffsetHole;
      std::array<uint8_t, 12> place;
      const size_t head = hole ? 12 : 8;
      if (hole ? length != head : length <= head) return Breach("sent a chunk of no sense");
      TRY(ReadAll(channel, std::span(place).first(head)));
      TRY(ReceiveData(slot, LoadBe<uint64_t>(&place[0]), hole ? LoadBe<uint32_t>(&place[8]) : length - head,
                      hole));
      break;
    }
    case kChunkBlockStatus:
      TRY(ReceiveStatus(slot, length));
      break;
    default:
      if ((type & kChunkIsError) == 0) return Breach("sent a chunk of an unknown kind");
      TRY(ReceiveError(slot, length));
  }
  if ((flags & kChunkDone) != 0) Finish(slot);
  return Ok();
}

Status Client::ReceiveData(Slot* slot, uint64_t offset, uint64_t length, bool hole) {
  const Call& call = *slot->command;
  if (call.type != kCmdRead || !Range{call.offset, call.length}.Contains(offset, length)) {
    return Breach("sent data that was not asked for");
  }
  if ((slot->received += length) > call.length) return Breach("sent data twice");
  uint64_t at = offset - call.offset;
  const uint64_t end = at + length;
  while (at < end) {
    std::vector<iovec> pieces;
    SlicePieces(call.pieces, at, end - at, &pieces);
    for (const iovec& piece : pieces) {
      const std::span<uint8_t> bytes(static_cast<uint8_t*>(piece.iov_base), piece.iov_len);
      if (hole) {
        std::fill(bytes.begin(), bytes.end(), 0);
      } else {
        TRY(ReadAll(session_.channel.get(), bytes));
      }
      at += bytes.size();
    }
  }
  return Ok();
}

Status Client::ReceiveStatus(Slot* slot, uint32_t length) {
  const Call& call = *slot->command;
  constexpr uint32_t kIdBytes = 4;
  if (call.type != kCmdBlockStatus || length < kIdBytes + kExtentBytes ||
      (length - kIdBytes) % kExtentBytes != 0 || length > kMaxPayloadBytes) {
    return Breach("sent a status of no sense");
  }
  Channel* const channel = session_.channel.get();
  std::array<uint8_t, kExtentBytes> bytes;
  TRY(ReadAll(channel, std::span(bytes).first(kIdBytes)));
  if (LoadBe<uint32_t>(bytes.data()) != session_.context_id || !call.extents->empty()) {
    return Breach("sent a status that was not asked for");
  }
  for (uint32_t left = (length - kIdBytes) / kExtentBytes; left != 0; --left) {
    TRY(ReadAll(channel, bytes));
    const StatusExtent extent{LoadBe<uint32_t>(&bytes[0]), LoadBe<uint32_t>(&bytes[4])};
    if (extent.length == 0) return Breach("sent a status of nothing");
    if (call.extents->size() < kMaxExtents) call.extents->push_back(extent);
  }
  return Ok();
}

Status Client::ReceiveError(Slot* slot, uint32_t length) {
  // An error's number, the length of its text, the text, and for some kinds an offset: only the number
  // counts.
  std::array<uint8_t, 6> head;
  if (length < head.size() || length > head.size() + kMaxStringBytes + 8)
    return Breach("sent an error of no sense");
  TRY(ReadAll(session_.channel.get(), head));
  TRY(SkipBytes(session_.channel.get(), length - head.size()));
  const int error = ErrorFromWire(LoadBe<uint32_t>(head.data()));
  if (error == 0) return Breach("sent an error that is none");
  if (slot->error == 0) slot->error = error;
  return Ok();
}

}  // namespace berth::block::nbd

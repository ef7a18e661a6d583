#include "hw/virtio/net_receive.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/pieces.h"
#include "hw/virtio/trace.h"

namespace berth::hw {
namespace {

// One more than the largest packet, so that larger ones are noticed.
constexpr uint64_t kTailSize = kMaxPacketSize + 1;

}  // namespace

NetReceiver::NetReceiver(const GuestMemory* memory, VirtQueue* ring, net::PacketQueue* port,
                         const ReceiveFilter* filter, uint64_t features, NetReceiveCounters* counters)
    : memory_(*memory),
      ring_(*ring),
      port_(*port),
      filter_(*filter),
      mergeable_((features & kNetMergeable) != 0),
      counters_(*counters),
      largest_packet_(kMaxPacketSize),
      tail_(new uint8_t[kTailSize]) {}

NetReceiver::Outcome NetReceiver::Run(unsigned budget) {
  for (unsigned received = 0; received < budget; ++received) {
    if (held_up_ != 0) {
      const Outcome outcome = DeliverHeldUp();
      if (outcome != Outcome::kMore) return outcome;
      continue;
    }
    if (!Fill(largest_packet_)) return Outcome::kBroken;
    if (buffers_.empty()) return Outcome::kNoBuffers;
    const ssize_t size = ReadPacket();
    if (size == -EAGAIN) return Outcome::kPortEmpty;
    if (size <= 0) {
      counters_.errors.Add();
      return size == -EINTR ? Outcome::kMore : Outcome::kPortFailed;
    }
    const auto packet_size = static_cast<uint64_t>(size);
    if (packet_size < sizeof(NetHeader) + kMinFrameSize) {
      counters_.errors.Add();
    } else if (!Wanted(packet_size)) {
      counters_.filtered.Add();
    } else if (packet_size <= room_read_) {
      Deliver(packet_size);
    } else if (mergeable_ && packet_size < kTailSize) {
      // The rest of the packet is at its place in the tail: complete it, and wait for more buffers.
      CopyFromPieces(pieces_, 0, {tail_.get(), room_read_});
      held_up_ = packet_size;
    } else {
      counters_.too_large.Add();
    }
  }
  return Outcome::kMore;
}

// Takes buffers from the queue until there is room for `bytes`, or no more; without mergeable buffers a
// packet has one. False if the driver's buffers are broken.
bool NetReceiver::Fill(uint64_t bytes) {
  while (mergeable_ ? room_ < bytes : buffers_.empty()) {
    const size_t before = buffers_.size();
    if (!TakeBuffer()) return false;
    if (buffers_.size() == before) return true;
  }
  return true;
}

bool NetReceiver::TakeBuffer() {
  std::unique_ptr<Buffer> buffer;
  if (idle_.empty()) {
    buffer = std::make_unique<Buffer>();
  } else {
    buffer = std::move(idle_.back());
    idle_.pop_back();
  }
  const Result<bool> popped = ring_.PopInto(&buffer->chain);
  if (!popped) {
    error_ = popped.error().message();
    return false;
  }
  if (!*popped) {
    idle_.push_back(std::move(buffer));
    return true;
  }
  buffer->pieces.clear();
  buffer->bytes = buffer->chain.writable_bytes();
  for (const GuestBuffer& part : buffer->chain.writable) {
    if (memory_.AppendTo(part, &buffer->pieces)) continue;
    error_ = "a receive buffer that is not in RAM";
    return false;
  }
  // "Each buffer MUST be at least the size of the struct virtio_net_hdr" (5.1.6.3.1).
  if (buffer->bytes < sizeof(NetHeader) || buffer->pieces.size() >= kMaxPieces) {
    error_ = "a receive buffer without room for a header, or in too many pieces";
    return false;
  }
  room_ += buffer->bytes;
  buffers_.push_back(std::move(buffer));
  return true;
}

// Into the buffers that are held ready, as many as one system call takes, and the tail behind them.
ssize_t NetReceiver::ReadPacket() {
  pieces_.clear();
  room_read_ = 0;
  for (const auto& buffer : buffers_) {
    if (pieces_.size() + buffer->pieces.size() >= kMaxPieces) break;
    pieces_.insert(pieces_.end(), buffer->pieces.begin(), buffer->pieces.end());
    room_read_ += buffer->bytes;
  }
  if (room_read_ < kTailSize) pieces_.push_back({tail_.get() + room_read_, kTailSize - room_read_});
  return port_.Receive(pieces_);
}

bool NetReceiver::Wanted(uint64_t packet_size) const {
  if (filter_.promiscuous && !filter_.filter_vlans) return true;
  std::array<uint8_t, kFilterBytes> frame;
  const size_t size = std::min<uint64_t>(frame.size(), packet_size - sizeof(NetHeader));
  CopyFromPieces(pieces_, sizeof(NetHeader), {frame.data(), size});
  return filter_.Accepts({frame.data(), size});
}

// Gives the buffers that hold the packet back to the driver, all of them at once.
void NetReceiver::Deliver(uint64_t packet_size) {
  used_.clear();
  for (uint64_t left = packet_size; left != 0;) {
    const Buffer& buffer = *buffers_[used_.size()];
    const uint64_t written = std::min(left, buffer.bytes);
    used_.push_back({&buffer.chain, static_cast<uint32_t>(written)});
    left -= written;
    room_ -= buffer.bytes;
  }
  const auto count = static_cast<uint16_t>(used_.size());
  CopyToPieces(buffers_[0]->pieces, offsetof(NetHeader, num_buffers),
               {reinterpret_cast<const uint8_t*>(&count), sizeof(count)});
  // The port may know a checksum to be good though nobody asked.
  constexpr uint8_t kNoFlags = 0;
  if (!guest_checksum_) CopyToPieces(buffers_[0]->pieces, offsetof(NetHeader, flags), {&kNoFlags, 1});
  ring_.PushAll(used_);
  const auto last = buffers_.begin() + count;
  idle_.insert(idle_.end(), std::move_iterator(buffers_.begin()), std::move_iterator(last));
  buffers_.erase(buffers_.begin(), last);
  counters_.packets.Add();
  counters_.bytes.Add(packet_size - sizeof(NetHeader));
  trace::virtio_net_receive(ring_.kick_fd(), packet_size, count);
}

// Once more for the packet in the tail. If the driver cannot ever have that many buffers, it is lost.
NetReceiver::Outcome NetReceiver::DeliverHeldUp() {
  if (!Fill(held_up_)) return Outcome::kBroken;
  if (room_ < held_up_) {
    if (buffers_.size() < ring_.layout().size) return Outcome::kNoBuffers;
    counters_.too_large.Add();
    held_up_ = 0;
    return Outcome::kMore;
  }
  uint64_t offset = 0;
  for (auto buffer = buffers_.begin(); offset < held_up_; ++buffer) {
    const uint64_t size = std::min((*buffer)->bytes, held_up_ - offset);
    CopyToPieces((*buffer)->pieces, 0, {tail_.get() + offset, size});
    offset += size;
  }
  Deliver(std::exchange(held_up_, 0));
  return Outcome::kMore;
}

}  // namespace berth::hw

#include "hw/virtio/net_transmit.h"

#include <cerrno>

#include "base/pieces.h"
#include "hw/virtio/chain.h"
#include "hw/virtio/trace.h"

namespace berth::hw {

NetTransmitter::NetTransmitter(const GuestMemory* memory, VirtQueue* ring, net::PacketQueue* port,
                               uint64_t features, NetTransmitCounters* counters)
    : memory_(*memory), ring_(*ring), port_(*port), features_(features), counters_(*counters) {}

NetTransmitter::Outcome NetTransmitter::Run(unsigned budget, bool link_up) {
  Outcome outcome = Outcome::kMore;
  for (unsigned sent = 0; sent < budget; ++sent) {
    if (!waiting_) {
      const Result<bool> popped = ring_.PopInto(&chains_[done_]);
      if (!popped) {
        error_ = popped.error().message();
        outcome = Outcome::kBroken;
        break;
      }
      if (!*popped) {
        outcome = Outcome::kQueueEmpty;
        break;
      }
      if (!Prepare(chains_[done_]) || !link_up) {
        (link_up ? counters_.invalid : counters_.errors).Add();
        Done();
        continue;
      }
    }
    const ssize_t result = port_.Send(pieces_);
    waiting_ = result == -EAGAIN;
    if (waiting_) {
      outcome = Outcome::kPortFull;
      break;
    }
    if (result < 0) {
      counters_.errors.Add();
    } else {
      counters_.packets.Add();
      counters_.bytes.Add(frame_size_);
    }
    trace::virtio_net_transmit(ring_.kick_fd(), frame_size_, result);
    Done();
  }
  GiveBack();
  return outcome;
}

// Our copy of the header, checked, and the frame as it lies in guest memory.
bool NetTransmitter::Prepare(const DescriptorChain& chain) {
  const uint64_t size = chain.readable_bytes();
  if (size < sizeof(NetHeader) + kMinFrameSize || size > kMaxPacketSize) return false;
  frame_size_ = size - sizeof(NetHeader);
  pieces_.assign(1, {&header_, sizeof(header_)});
  return LoadChain(memory_, chain.readable, 0, &header_) &&
         CheckTransmitHeader(features_, frame_size_, &header_) &&
         AppendPieces(memory_, chain.readable, sizeof(NetHeader), frame_size_, &pieces_) &&
         pieces_.size() <= kMaxPieces;
}

void NetTransmitter::Done() {
  if (++done_ == kBatch) GiveBack();
}

void NetTransmitter::GiveBack() {
  std::array<VirtQueue::Used, kBatch> used;
  for (size_t i = 0; i < done_; ++i) used[i] = {&chains_[i], 0};
  ring_.PushAll({used.data(), done_});
  // The one that waits comes to the front.
  if (waiting_ && done_ != 0) std::swap(chains_[0], chains_[done_]);
  done_ = 0;
}

}  // namespace berth::hw

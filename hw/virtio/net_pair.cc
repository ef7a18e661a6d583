#include "hw/virtio/net_pair.h"

namespace berth::hw {
namespace {

// Packets each way before the loop's other work gets its turn.
constexpr unsigned kPacketsATurn = 128;
// Looks at a queue that the driver fills while it is being looked at.
constexpr int kMaxLooks = 16;

}  // namespace

NetPair::NetPair(Parts parts)
    : parts_(std::move(parts)),
      receiver_(parts_.memory, parts_.receive_ring, parts_.port, parts_.filter, parts_.features,
                &parts_.counters->receive),
      transmitter_(parts_.memory, parts_.transmit_ring, parts_.port, parts_.features,
                   &parts_.counters->transmit) {}

Status NetPair::Start() {
  if (running_) return Ok();
  running_ = true;
  // Edge-triggered: every kick is an edge, so the eventfds need not be read.
  TRY(parts_.loop->Watch(parts_.receive_ring->kick_fd(), EPOLLIN | EPOLLET, [this](uint32_t) {
    if (lacks_buffers_) Receive();
  }));
  TRY(parts_.loop->Watch(parts_.transmit_ring->kick_fd(), EPOLLIN | EPOLLET, [this](uint32_t) {
    if (!port_full_) Transmit();
  }));
  TRY(parts_.loop->Watch(parts_.port->fd(), 0, [this](uint32_t events) { PortReady(events); }));
  parts_.receive_ring->DisableKicks();
  Watch();
  SignalEventFd(parts_.transmit_ring->kick_fd());  // There may be packets since before.
  return Ok();
}

void NetPair::Stop() {
  if (!std::exchange(running_, false)) return;
  parts_.loop->Unwatch(parts_.receive_ring->kick_fd());
  parts_.loop->Unwatch(parts_.transmit_ring->kick_fd());
  parts_.loop->Unwatch(parts_.port->fd());
  lacks_buffers_ = port_full_ = false;
}

void NetPair::SetLink(bool up) {
  link_up_ = up;
  Watch();
}

// What the port is waited for: packets while there are buffers for them, room while a packet waits for it.
void NetPair::Watch() {
  if (!running_ || port_failed_) return;
  const uint32_t events =
      (link_up_ && !lacks_buffers_ ? EPOLLIN : 0u) | (port_full_ ? static_cast<uint32_t>(EPOLLOUT) : 0u);
  if (!parts_.loop->Rewatch(parts_.port->fd(), events)) PortFailed();
}

void NetPair::PortReady(uint32_t events) {
  if (events & EPOLLIN) Receive();
  if (running_ && (events & EPOLLOUT) && std::exchange(port_full_, false)) {
    Watch();
    Transmit();
  }
  // An interface that was deleted is ready with errors, for ever.
  if (running_ && (events & (EPOLLERR | EPOLLHUP)) && !(events & EPOLLIN)) PortFailed();
}

void NetPair::Receive() {
  VirtQueue& ring = *parts_.receive_ring;
  if (std::exchange(lacks_buffers_, false)) {
    ring.DisableKicks();
    Watch();
  }
  NetReceiver::Outcome outcome = NetReceiver::Outcome::kMore;
  for (int looks = 0; looks < kMaxLooks; ++looks) {
    outcome = receiver_.Run(kPacketsATurn);
    if (outcome != NetReceiver::Outcome::kNoBuffers) break;
    if (!ring.EnableKicks()) {
      lacks_buffers_ = true;
      Watch();
      break;
    }
    ring.DisableKicks();
  }
  ring.Notify();
  if (outcome == NetReceiver::Outcome::kBroken) return Broken(receiver_.error());
  if (outcome == NetReceiver::Outcome::kPortFailed) PortFailed();
  // In all other cases the port, still ready or not, says when to go on.
}

void NetPair::Transmit() {
  VirtQueue& ring = *parts_.transmit_ring;
  ring.DisableKicks();
  NetTransmitter::Outcome outcome = NetTransmitter::Outcome::kMore;
  for (int looks = 0; looks < kMaxLooks; ++looks) {
    outcome = transmitter_.Run(kPacketsATurn, link_up_);
    if (outcome != NetTransmitter::Outcome::kQueueEmpty || !ring.EnableKicks()) break;
    ring.DisableKicks();
    outcome = NetTransmitter::Outcome::kMore;
  }
  ring.Notify();
  switch (outcome) {
    case NetTransmitter::Outcome::kQueueEmpty:
      return;
    case NetTransmitter::Outcome::kPortFull:
      port_full_ = true;
      return Watch();
    case NetTransmitter::Outcome::kMore:
      return SignalEventFd(ring.kick_fd());  // To go on after the others.
    case NetTransmitter::Outcome::kBroken:
      return Broken(transmitter_.error());
  }
}

void NetPair::PortFailed() {
  if (std::exchange(port_failed_, true)) return;
  parts_.loop->Unwatch(parts_.port->fd());
  parts_.port_failed();
}

void NetPair::Broken(std::string_view why) {
  Stop();
  parts_.broken(why);
}

}  // namespace berth::hw

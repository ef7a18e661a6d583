#include "hw/virtio/scsi_events.h"

#include "hw/virtio/chain.h"

namespace berth::hw {
namespace {

struct [[gnu::packed]] EventMessage {
  uint32_t event;
  uint8_t lun[8];
  uint32_t reason;
};
static_assert(sizeof(EventMessage) == 16);

constexpr uint32_t kParameterChange = 3;

// Taken for one event or kick; a driver that gives more has them taken with the next.
constexpr int kMaxBuffersAtOnce = 128;

}  // namespace

Result<std::unique_ptr<ScsiEvents>> ScsiEvents::Start(const VirtioActivation& activation, unsigned queue) {
  VirtQueue* const ring = activation.queues[queue];
  if (ring == nullptr) return nullptr;
  std::unique_ptr<ScsiEvents> events(new ScsiEvents(activation, ring));
  TRY(activation.loop->Watch(ring->kick_fd(), EPOLLIN | EPOLLET,
                             [raw = events.get()](uint32_t) { raw->Tell(); }));
  return events;
}

ScsiEvents::~ScsiEvents() { loop_.Unwatch(queue_.kick_fd()); }

void ScsiEvents::ParametersChanged(uint32_t lun, const ScsiSense& what) {
  waiting_.insert({lun, static_cast<uint32_t>(what.code | what.qualifier << 8)});
  Tell();
}

// Buffers that there is nothing for yet stay in the ring.
void ScsiEvents::Tell() {
  for (int i = 0; i < kMaxBuffersAtOnce && !waiting_.empty(); ++i) {
    const Result<bool> popped = queue_.PopInto(&chain_);
    if (!popped) {
      loop_.Unwatch(queue_.kick_fd());
      transport_.NeedsReset(popped.error().message());
      waiting_.clear();
      return;
    }
    if (*popped) {
      Send();
    } else if (!queue_.EnableKicks()) {
      break;
    }
  }
  queue_.Notify();
}

// One event, into the buffer; it waits on if there is no room.
void ScsiEvents::Send() {
  const auto [lun, reason] = *waiting_.begin();
  const EventMessage message{
      .event = kParameterChange, .lun = {1, 0, 0x40, static_cast<uint8_t>(lun)}, .reason = reason};
  const std::span bytes(reinterpret_cast<const uint8_t*>(&message), sizeof(message));
  const bool written = WriteChain(memory_, chain_.writable, 0, bytes);
  queue_.Push(chain_, written ? sizeof(message) : 0);
  if (written) waiting_.erase(waiting_.begin());
}

}  // namespace berth::hw

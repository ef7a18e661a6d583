#include "hw/virtio/queue_service.h"

namespace berth::hw {

Result<std::unique_ptr<QueueService>> QueueService::Start(const VirtioActivation& activation, unsigned index,
                                                          Serve serve, unsigned chains_a_turn) {
  VirtQueue* queue = activation.queues[index];
  if (queue == nullptr) return nullptr;
  std::unique_ptr<QueueService> service(new QueueService(activation, queue, std::move(serve), chains_a_turn));
  TRY(activation.loop->Watch(queue->kick_fd(), EPOLLIN, [raw = service.get()](uint32_t) { raw->Kicked(); }));
  return service;
}

QueueService::~QueueService() { loop_.Unwatch(queue_.kick_fd()); }

void QueueService::Kicked() {
  DrainEventFd(queue_.kick_fd());
  queue_.DisableKicks();
  for (unsigned served = 0; served < chains_a_turn_ && !held_;) {
    const Result<std::optional<DescriptorChain>> chain = queue_.Pop();
    if (!chain) {
      transport_.NeedsReset(chain.error().message());
      loop_.Unwatch(queue_.kick_fd());
      queue_.Notify();
      return;
    }
    if (chain->has_value()) {
      serve_(**chain);
      ++served;
    } else if (!queue_.EnableKicks()) {
      queue_.Notify();
      return;
    } else {
      queue_.DisableKicks();
    }
  }
  queue_.Notify();
  if (!held_) SignalEventFd(queue_.kick_fd());  // There may be more: once the others had their turn.
}

// The driver does not kick meanwhile.
void QueueService::Hold(bool hold) {
  if (held_ && !hold) SignalEventFd(queue_.kick_fd());
  held_ = hold;
}

}  // namespace berth::hw

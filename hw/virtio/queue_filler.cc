#include "hw/virtio/queue_filler.h"

#include "hw/virtio/queue_service.h"

namespace berth::hw {

Result<std::unique_ptr<QueueFiller>> QueueFiller::Start(const VirtioActivation& activation, unsigned index,
                                                        Pending pending, Fill fill) {
  VirtQueue* const queue = activation.queues[index];
  if (queue == nullptr) return nullptr;
  std::unique_ptr<QueueFiller> filler(
      new QueueFiller(activation, queue, std::move(pending), std::move(fill)));
  TRY(activation.loop->Watch(queue->kick_fd(), EPOLLIN, [raw = filler.get()](uint32_t) { raw->Run(); }));
  return filler;
}

QueueFiller::~QueueFiller() { loop_.Unwatch(queue_.kick_fd()); }

void QueueFiller::Run() {
  if (broken_) return;
  DrainEventFd(queue_.kick_fd());
  for (unsigned chains = 0; pending_(); ++chains) {
    if (chains == QueueService::kChainsATurn) {
      SignalEventFd(queue_.kick_fd());  // Once the others had their turn.
      break;
    }
    const Result<std::optional<DescriptorChain>> chain = queue_.Pop();
    if (!chain) {
      broken_ = true;
      queue_.Notify();
      loop_.Unwatch(queue_.kick_fd());
      return transport_.NeedsReset(chain.error().message());
    }
    if (!chain->has_value()) break;  // The driver kicks when it has room: kicks are never off here.
    queue_.Push(**chain, fill_(**chain));
  }
  queue_.Notify();
}

}  // namespace berth::hw

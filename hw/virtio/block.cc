#include "hw/virtio/block.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "hw/virtio/block_request.h"
#include "hw/virtio/trace.h"

namespace berth::hw {
namespace {

// Requests of one queue that are taken before the loop's other work gets its turn.
constexpr uint32_t kMaxRequestsAtOnce = 256;
// Those taken together are submitted together.
constexpr uint32_t kMaxBatch = 64;

class VirtioBlockImpl final : public VirtioBlock {
 public:
  VirtioBlockImpl(const VirtioBlockOptions& options, const BlockDescription& block,
                  std::shared_ptr<block::BlockNode> node)
      : name_(options.name),
        serial_(options.serial),
        block_(block),
        queue_sizes_(options.queues, options.queue_size),
        node_(std::move(node)),
        writeback_(block.config.writeback != 0),
        capacity_(block.config.capacity) {}
  ~VirtioBlockImpl() override { Reset(); }

  VirtioType type() const override { return VirtioType::kBlock; }
  uint64_t features() const override { return block_.features; }
  std::span<const uint16_t> queue_sizes() const override { return queue_sizes_; }
  void ReadConfig(uint32_t offset, std::span<uint8_t> bytes) override;
  void WriteConfig(uint32_t offset, std::span<const uint8_t> bytes) override;
  Status Activate(const VirtioActivation& activation) override;
  void Reset() override;
  Status Grow(uint64_t size_bytes) override;
  std::vector<NamedCounter> counters() const override;

 private:
  struct Queue {
    Queue(VirtioBlockImpl* owner, VirtQueue* queue_ring)
        : device(owner), ring(queue_ring), notify(owner->loop_, [this] { ring->Notify(); }) {}
    VirtioBlockImpl* const device;
    VirtQueue* const ring;
    EventLoop::Deferred notify;  // One interrupt for all that one callback completes.
    bool broken = false;
  };
  struct Counters {
    Counter reads, writes, flushes, discards, other, read_bytes, written_bytes, errors, kicks;
  };

  void Serve(Queue* queue);
  bool Take(Queue* queue, block::List<block::Request>* batch);
  void Broken(Queue* queue, std::string_view why);
  void Completed(BlockRequest* request);
  void Finish(BlockRequest* request);
  std::unique_ptr<BlockRequest> NewRequest();
  void Count(const BlockRequest& request);

  const std::string name_;
  const std::string serial_;
  const BlockDescription block_;
  const std::vector<uint16_t> queue_sizes_;
  const std::shared_ptr<block::BlockNode> node_;
  std::atomic<bool> writeback_;  // Also the vCPUs', as is the next.
  std::atomic<uint64_t> capacity_;

  EventLoop* loop_ = nullptr;
  VirtioTransport* transport_ = nullptr;
  BlockRules rules_;
  std::vector<std::unique_ptr<Queue>> queues_;
  std::vector<std::unique_ptr<BlockRequest>> idle_;  // Keeps the vectors of past requests for the next.
  Counters counters_;
};

void VirtioBlockImpl::ReadConfig(uint32_t offset, std::span<uint8_t> bytes) {
  BlockConfig config = block_.config;
  config.writeback = writeback_ ? 1 : 0;
  config.capacity = capacity_;
  std::memset(bytes.data(), 0, bytes.size());
  if (offset >= sizeof(config)) return;
  std::memcpy(bytes.data(), reinterpret_cast<const uint8_t*>(&config) + offset,
              std::min<size_t>(bytes.size(), sizeof(config) - offset));
}

void VirtioBlockImpl::WriteConfig(uint32_t offset, std::span<const uint8_t> bytes) {
  constexpr uint32_t kWriteback = offsetof(BlockConfig, writeback);
  if (offset <= kWriteback && kWriteback - offset < bytes.size())
    writeback_ = bytes[kWriteback - offset] != 0;
}

Status VirtioBlockImpl::Activate(const VirtioActivation& activation) {
  loop_ = activation.loop;
  transport_ = activation.transport;
  rules_ = {.memory = activation.memory,
            .features = activation.features,
            .config = block_.config,
            .serial = serial_};
  rules_.config.capacity = capacity_;
  // 5.2.5.2: a driver that cannot flush gets a write-through cache, one that cannot choose a write-back
  // cache.
  if (!(activation.features & kBlockConfigWce)) writeback_ = (activation.features & kBlockFlush) != 0;
  for (VirtQueue* ring : activation.queues) {
    if (ring == nullptr) continue;
    Queue* queue = queues_.emplace_back(std::make_unique<Queue>(this, ring)).get();
    // Edge-triggered: every kick is an edge, so the eventfd need not be read.
    TRY(loop_->Watch(ring->kick_fd(), EPOLLIN | EPOLLET, [this, queue](uint32_t) {
      counters_.kicks.Add();
      Serve(queue);
    }));
  }
  return Ok();
}

void VirtioBlockImpl::Reset() {
  for (auto& queue : queues_) loop_->Unwatch(queue->ring->kick_fd());
  node_->Drain();
  queues_.clear();
  idle_.clear();
  writeback_ = block_.config.writeback != 0;
}

Status VirtioBlockImpl::Grow(uint64_t size_bytes) {
  TRY(node_->Grow(size_bytes));
  const uint64_t capacity = AlignDown(node_->size_bytes(), block_.config.blk_size) / kSectorSize;
  if (capacity_.exchange(capacity) == capacity) return Ok();
  rules_.config.capacity = capacity;
  if (transport_ != nullptr) transport_->ConfigChanged();
  return Ok();
}

// Takes what the driver has made available and gives it to the node in batches, until there is no more.
// Meanwhile the driver need not kick.
void VirtioBlockImpl::Serve(Queue* queue) {
  VirtQueue* const ring = queue->ring;
  ring->DisableKicks();
  for (uint32_t taken = 0; taken < kMaxRequestsAtOnce;) {
    block::List<block::Request> batch;
    uint32_t count = 0;
    while (count < kMaxBatch && Take(queue, &batch)) ++count;
    taken += std::max(count, 1u);
    if (!batch.empty()) node_->Submit(std::move(batch));
    if (queue->broken || (count < kMaxBatch && !ring->EnableKicks())) return;
    ring->DisableKicks();
  }
  SignalEventFd(ring->kick_fd());  // To go on after the others.
}

// The next request, into the batch or answered already; false if there is none.
bool VirtioBlockImpl::Take(Queue* queue, block::List<block::Request>* batch) {
  std::unique_ptr<BlockRequest> request = NewRequest();
  const Result<bool> popped = queue->ring->PopInto(&request->chain);
  if (!popped || !*popped) {
    idle_.push_back(std::move(request));
    if (!popped) Broken(queue, popped.error().message());
    return false;
  }
  request->owner = queue;
  switch (request->Begin(rules_, !writeback_)) {
    case BlockRequest::Step::kSubmit:
      batch->PushBack(request.release());  // Until Finish.
      return true;
    case BlockRequest::Step::kDone:
      Finish(request.release());
      return true;
    case BlockRequest::Step::kBroken:
      Broken(queue, "a request without room for its status");
      return false;
  }
  return false;
}

void VirtioBlockImpl::Broken(Queue* queue, std::string_view why) {
  queue->broken = true;
  loop_->Unwatch(queue->ring->kick_fd());
  transport_->NeedsReset(why);
}

void VirtioBlockImpl::Completed(BlockRequest* request) {
  if (request->Next() != BlockRequest::Step::kSubmit) return Finish(request);
  block::List<block::Request> batch;
  batch.PushBack(request);
  node_->Submit(std::move(batch));
}

void VirtioBlockImpl::Finish(BlockRequest* request) {
  auto* const queue = static_cast<Queue*>(request->owner);
  Count(*request);
  queue->ring->Push(request->chain, request->Finish());
  queue->notify.Schedule();
  idle_.emplace_back(request);
}

std::unique_ptr<BlockRequest> VirtioBlockImpl::NewRequest() {
  if (!idle_.empty()) {
    std::unique_ptr<BlockRequest> request = std::move(idle_.back());
    idle_.pop_back();
    return request;
  }
  auto request = std::make_unique<BlockRequest>();
  request->done = [](block::Request* done) {
    auto* const finished = static_cast<BlockRequest*>(done);
    static_cast<Queue*>(finished->owner)->device->Completed(finished);
  };
  return request;
}

void VirtioBlockImpl::Count(const BlockRequest& request) {
  trace::virtio_block_request(name_, static_cast<uint32_t>(request.type()), request.offset,
                              request.data_bytes(), static_cast<int>(request.status()));
  if (request.status() != BlockStatus::kOk) return counters_.errors.Add();
  switch (request.type()) {
    case BlockType::kIn:
      counters_.reads.Add();
      return counters_.read_bytes.Add(request.data_bytes());
    case BlockType::kOut:
      counters_.writes.Add();
      return counters_.written_bytes.Add(request.data_bytes());
    case BlockType::kFlush:
      return counters_.flushes.Add();
    case BlockType::kDiscard:
      return counters_.discards.Add();
    default:
      return counters_.other.Add();
  }
}

std::vector<NamedCounter> VirtioBlockImpl::counters() const {
  return {{"reads", &counters_.reads},          {"read_bytes", &counters_.read_bytes},
          {"writes", &counters_.writes},        {"written_bytes", &counters_.written_bytes},
          {"flushes", &counters_.flushes},      {"discards", &counters_.discards},
          {"other_requests", &counters_.other}, {"errors", &counters_.errors},
          {"kicks", &counters_.kicks}};
}

}  // namespace

Result<std::unique_ptr<VirtioBlock>> CreateVirtioBlock(const VirtioBlockOptions& options,
                                                       std::shared_ptr<block::BlockNode> node) {
  const BlockDescription block =
      TRY(Context(DescribeBlock(options, node->size_bytes(), node->limits()), options.name));
  return std::make_unique<VirtioBlockImpl>(options, block, std::move(node));
}

}  // namespace berth::hw

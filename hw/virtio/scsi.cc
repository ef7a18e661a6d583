#include "hw/virtio/scsi.h"

#include <algorithm>

#include "hw/virtio/scsi_config.h"
#include "hw/virtio/scsi_control.h"
#include "hw/virtio/scsi_events.h"
#include "hw/virtio/scsi_facts.h"
#include "hw/virtio/scsi_target.h"
#include "hw/virtio/scsi_unit.h"
#include "hw/virtio/trace.h"

namespace berth::hw {
namespace {

// Requests of one queue that are taken before the loop's other work gets its turn.
constexpr uint32_t kMaxRequestsAtOnce = 256;
// Those taken together are submitted together.
constexpr uint32_t kMaxBatch = 64;

// 5.6.2: the queues of control and of events come first.
constexpr unsigned kControlQueue = 0, kEventQueue = 1, kFirstRequestQueue = 2;
constexpr uint16_t kControlQueueSize = 64, kRequestQueueSize = 256;

// 5.6.3. No unit ever comes or goes; but Linux gives buffers for events of any kind only where they might.
constexpr uint64_t kScsiHotPlug = 1ull << 1, kScsiChange = 1ull << 2;

class VirtioScsiImpl final : public VirtioScsi {
 public:
  VirtioScsiImpl(const VirtioScsiOptions& options, ScsiControl::Units units)
      : name_(options.name),
        units_(std::move(units)),
        config_(options.queues, kRequestQueueSize, static_cast<uint32_t>(units_.size())) {
    queue_sizes_ = {kControlQueueSize, kControlQueueSize};
    queue_sizes_.insert(queue_sizes_.end(), options.queues, kRequestQueueSize);
  }
  ~VirtioScsiImpl() override { Reset(); }

  VirtioType type() const override { return VirtioType::kScsi; }
  uint64_t features() const override { return kScsiHotPlug | kScsiChange; }
  std::span<const uint16_t> queue_sizes() const override { return queue_sizes_; }
  void ReadConfig(uint32_t offset, std::span<uint8_t> bytes) override { config_.Read(offset, bytes); }
  void WriteConfig(uint32_t offset, std::span<const uint8_t> bytes) override { config_.Write(offset, bytes); }
  Status Activate(const VirtioActivation& activation) override;
  void Reset() override;
  Status Grow(uint32_t lun, uint64_t size_bytes) override;
  std::vector<NamedCounter> counters() const override;
  std::vector<NamedCounter> unit_counters(uint32_t lun) const override { return units_[lun]->counters(); }

 private:
  struct Queue {
    Queue(VirtioScsiImpl* owner, VirtQueue* queue_ring)
        : device(owner), ring(queue_ring), notify(owner->loop_, [this] { ring->Notify(); }) {}
    VirtioScsiImpl* const device;
    VirtQueue* const ring;
    EventLoop::Deferred notify;  // One interrupt for all that one callback completes.
    bool broken = false;
  };
  struct Counters {
    Counter kicks, unaddressed;
  };

  void Serve(Queue* queue);
  bool Take(Queue* queue);
  void Begin(ScsiTask* task);
  void BeginWithoutUnit(ScsiTask* task, const ScsiAddress& address);
  void Broken(Queue* queue, std::string_view why);
  void Completed(ScsiTask* task);
  void Finish(ScsiTask* task, ScsiUnit* unit);
  std::unique_ptr<ScsiTask> NewTask();
  ScsiUnit* UnitOf(const ScsiTask& task) const { return units_[ParseLun(task.lun()).lun].get(); }

  const std::string name_;
  const ScsiControl::Units units_;  // By LUN.
  std::vector<uint16_t> queue_sizes_;
  ScsiConfig config_;

  EventLoop* loop_ = nullptr;
  VirtioTransport* transport_ = nullptr;
  const GuestMemory* memory_ = nullptr;
  ScsiSizes sizes_;
  std::vector<std::unique_ptr<Queue>> queues_;
  std::vector<std::unique_ptr<ScsiTask>> idle_;  // Keeps the vectors of past tasks for the next.
  ScsiTasks tasks_;
  std::unique_ptr<ScsiControl> control_;
  std::unique_ptr<ScsiEvents> events_;  // Where the driver wants to know of changes.
  Counters counters_;
};

Status VirtioScsiImpl::Activate(const VirtioActivation& activation) {
  loop_ = activation.loop;
  transport_ = activation.transport;
  memory_ = activation.memory;
  sizes_ = config_.sizes();
  control_ = TRY(ScsiControl::Start(activation, kControlQueue, &units_, &tasks_));
  if (activation.features & kScsiChange) events_ = TRY(ScsiEvents::Start(activation, kEventQueue));
  for (VirtQueue* ring : activation.queues.subspan(kFirstRequestQueue)) {
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

void VirtioScsiImpl::Reset() {
  control_.reset();
  events_.reset();
  for (auto& queue : queues_) loop_->Unwatch(queue->ring->kick_fd());
  for (const auto& unit : units_) {
    unit->Drain();
    unit->Restart();
  }
  queues_.clear();
  idle_.clear();
  config_.Reset();
}

Status VirtioScsiImpl::Grow(uint32_t lun, uint64_t size_bytes) {
  const bool is_larger = TRY(units_[lun]->Grow(size_bytes));
  if (is_larger && events_) events_->ParametersChanged(lun, sense::kCapacityChanged);
  return Ok();
}

// Takes what the driver has made available and gives it to the nodes in batches, until there is no more.
// Meanwhile the driver need not kick.
void VirtioScsiImpl::Serve(Queue* queue) {
  VirtQueue* const ring = queue->ring;
  ring->DisableKicks();
  for (uint32_t taken = 0; taken < kMaxRequestsAtOnce;) {
    uint32_t count = 0;
    while (count < kMaxBatch && Take(queue)) ++count;
    taken += std::max(count, 1u);
    for (const auto& unit : units_) unit->SubmitBatch();
    if (queue->broken || (count < kMaxBatch && !ring->EnableKicks())) return;
    ring->DisableKicks();
  }
  SignalEventFd(ring->kick_fd());  // To go on after the others.
}

// The next request, into its unit's batch or answered already; false if there is none.
bool VirtioScsiImpl::Take(Queue* queue) {
  std::unique_ptr<ScsiTask> task = NewTask();
  const Result<bool> popped = queue->ring->PopInto(&task->chain);
  if (!popped || !*popped) {
    idle_.push_back(std::move(task));
    if (!popped) Broken(queue, popped.error().message());
    return false;
  }
  task->owner = queue;
  switch (task->Begin(memory_, sizes_)) {
    case ScsiTask::Found::kCommand:
      Begin(task.release());  // Until Finish.
      return true;
    case ScsiTask::Found::kNonsense:
      Finish(task.release(), nullptr);
      return true;
    case ScsiTask::Found::kBroken:
      Broken(queue, "a request without room for its response");
      return false;
  }
  return false;
}

void VirtioScsiImpl::Begin(ScsiTask* task) {
  constexpr uint8_t kReportLuns = 0xa0;
  const ScsiAddress address = ParseLun(task->lun());
  const bool there = address.kind == ScsiAddress::Kind::kUnit && address.lun < units_.size();
  if (!there || task->cdb()[0] == kReportLuns) return BeginWithoutUnit(task, address);
  ScsiUnit* const unit = units_[address.lun].get();
  if (unit->Begin(task) == ScsiUnit::Step::kDone) return Finish(task, unit);
  tasks_.Add(task);
  unit->Add(task);
}

void VirtioScsiImpl::BeginWithoutUnit(ScsiTask* task, const ScsiAddress& address) {
  if (address.kind == ScsiAddress::Kind::kNowhere) {
    task->Respond(ScsiResponse::kBadTarget);
    return Finish(task, nullptr);
  }
  const auto data = AnswerAsTarget(address, task->cdb(), static_cast<uint32_t>(units_.size()));
  if (data) {
    task->Answer(*data, data->size());
  } else {
    task->Fail(data.error());
  }
  Finish(task, nullptr);
}

void VirtioScsiImpl::Broken(Queue* queue, std::string_view why) {
  queue->broken = true;
  loop_->Unwatch(queue->ring->kick_fd());
  transport_->NeedsReset(why);
}

void VirtioScsiImpl::Completed(ScsiTask* task) {
  ScsiUnit* const unit = UnitOf(*task);
  if (!task->revoked() && unit->Next(task) == ScsiUnit::Step::kSubmit) {
    unit->Add(task);
    return unit->SubmitBatch();
  }
  tasks_.Remove(task);
  const bool revoked = task->revoked();
  Finish(task, unit);
  if (revoked && control_) control_->TaskEnded();
}

void VirtioScsiImpl::Finish(ScsiTask* task, ScsiUnit* unit) {
  auto* const queue = static_cast<Queue*>(task->owner);
  trace::virtio_scsi_command(name_, ParseLun(task->lun()).lun, task->cdb()[0], task->command.block,
                             task->command.count, static_cast<int>(task->response()), task->sense().key,
                             task->sense().code);
  if (unit != nullptr) {
    unit->Count(*task);
  } else {
    counters_.unaddressed.Add();
  }
  queue->ring->Push(task->chain, task->Finish());
  queue->notify.Schedule();
  idle_.emplace_back(task);
}

std::unique_ptr<ScsiTask> VirtioScsiImpl::NewTask() {
  if (!idle_.empty()) {
    std::unique_ptr<ScsiTask> task = std::move(idle_.back());
    idle_.pop_back();
    return task;
  }
  auto task = std::make_unique<ScsiTask>();
  task->done = [](block::Request* done) {
    auto* const finished = static_cast<ScsiTask*>(done);
    static_cast<Queue*>(finished->owner)->device->Completed(finished);
  };
  return task;
}

std::vector<NamedCounter> VirtioScsiImpl::counters() const {
  return {{"kicks", &counters_.kicks}, {"unaddressed_requests", &counters_.unaddressed}};
}

}  // namespace

Result<std::unique_ptr<VirtioScsi>> CreateVirtioScsi(const VirtioScsiOptions& options,
                                                     std::vector<VirtioScsi::Unit> units) {
  if (units.empty() || units.size() > kMaxScsiUnits)
    return Fail(Code::kInvalidArgument, "{} logical units; there are 1 to {}", units.size(), kMaxScsiUnits);
  if (options.queues == 0 || options.queues > kMaxScsiQueues) {
    return Fail(Code::kInvalidArgument, "{} queues; there are 1 to {}", options.queues, kMaxScsiQueues);
  }
  ScsiControl::Units made;
  for (VirtioScsi::Unit& unit : units) {
    ScsiFacts facts = TRY(Context(
        DescribeScsiUnit(unit.options, unit.node->size_bytes(), unit.node->limits()), unit.options.name));
    made.push_back(std::make_unique<ScsiUnit>(std::move(facts), std::move(unit.node)));
  }
  return std::make_unique<VirtioScsiImpl>(options, std::move(made));
}

}  // namespace berth::hw

#include "hw/virtio/scsi_control.h"

#include <algorithm>

#include "hw/virtio/chain.h"

namespace berth::hw {
namespace {

// Functions that are carried out before the loop's other work gets its turn.
constexpr int kMaxFunctionsAtOnce = 64;

enum class Type : uint32_t { kTaskManagement = 0, kNotificationQuery = 1, kNotificationSubscribe = 2 };

enum class Function : uint32_t {
  kAbortTask = 0,
  kAbortTaskSet = 1,
  kClearAca = 2,
  kClearTaskSet = 3,
  kNexusReset = 4,
  kUnitReset = 5,
  kQueryTask = 6,
  kQueryTaskSet = 7,
};

struct ManagementRequest {
  uint32_t type;
  uint32_t subtype;
  ScsiLun lun;
  uint64_t id;
};
static_assert(sizeof(ManagementRequest) == 24);

struct NotificationRequest {
  uint32_t type;
  ScsiLun lun;
  uint32_t event_requested;
};
static_assert(sizeof(NotificationRequest) == 16);

// Whether there is a unit that a request can be for, else what is wrong.
ScsiResponse CheckAddress(const ScsiAddress& address, size_t units) {
  if (address.kind != ScsiAddress::Kind::kUnit) return ScsiResponse::kBadTarget;
  return address.lun < units ? ScsiResponse::kOk : ScsiResponse::kIncorrectLun;
}

}  // namespace

void ScsiTasks::Add(ScsiTask* task) {
  task->place = tasks_.size();
  tasks_.push_back(task);
}

void ScsiTasks::Remove(ScsiTask* task) {
  tasks_.back()->place = task->place;
  tasks_[task->place] = tasks_.back();
  tasks_.pop_back();
}

Result<std::unique_ptr<ScsiControl>> ScsiControl::Start(const VirtioActivation& activation, unsigned queue,
                                                        const Units* units, const ScsiTasks* tasks) {
  VirtQueue* const ring = activation.queues[queue];
  if (ring == nullptr) return nullptr;
  std::unique_ptr<ScsiControl> control(new ScsiControl(activation, ring, units, tasks));
  TRY(activation.loop->Watch(ring->kick_fd(), EPOLLIN | EPOLLET,
                             [raw = control.get()](uint32_t) { raw->Serve(); }));
  return control;
}

ScsiControl::~ScsiControl() { loop_.Unwatch(queue_.kick_fd()); }

void ScsiControl::Serve() {
  queue_.DisableKicks();
  for (int i = 0; i < kMaxFunctionsAtOnce; ++i) {
    if (awaited_tasks_ != 0) return queue_.Notify();  // It goes on when they have ended.
    if (Take()) continue;
    queue_.Notify();
    if (broken_ || !queue_.EnableKicks()) return;
    queue_.DisableKicks();
  }
  queue_.Notify();
  SignalEventFd(queue_.kick_fd());  // To go on after the others.
}

// Carries out, or begins to, the next function; false if there is none.
bool ScsiControl::Take() {
  const Result<bool> popped = queue_.PopInto(&chain_);
  if (!popped) {
    broken_ = true;
    loop_.Unwatch(queue_.kick_fd());
    transport_.NeedsReset(popped.error().message());
    return false;
  }
  if (!*popped) return false;
  response_at_ = 0;
  if (const std::optional<ScsiResponse> response = CarryOut()) Finish(*response);
  return true;
}

void ScsiControl::Finish(ScsiResponse response) {
  const auto byte = static_cast<uint8_t>(response);
  const bool written = WriteChain(memory_, chain_.writable, response_at_, {&byte, 1});
  queue_.Push(chain_, written ? static_cast<uint32_t>(response_at_ + 1) : 0);
}

void ScsiControl::TaskEnded() {
  if (--awaited_tasks_ != 0) return;
  Finish(ScsiResponse::kOk);
  Serve();
}

std::optional<ScsiResponse> ScsiControl::CarryOut() {
  uint32_t type = 0;
  if (!LoadChain(memory_, chain_.readable, 0, &type)) return ScsiResponse::kFailure;
  switch (static_cast<Type>(type)) {
    case Type::kTaskManagement:
      return Manage();
    case Type::kNotificationQuery:
    case Type::kNotificationSubscribe:
      return Notify();
  }
  return ScsiResponse::kFailure;
}

std::optional<ScsiResponse> ScsiControl::Manage() {
  ManagementRequest request;
  if (!LoadChain(memory_, chain_.readable, 0, &request)) return ScsiResponse::kFailure;
  const ScsiAddress address = ParseLun(request.lun);
  const ScsiResponse there = CheckAddress(address, units_.size());
  const auto function = static_cast<Function>(request.subtype);
  const bool of_target = function == Function::kNexusReset && there == ScsiResponse::kIncorrectLun;
  if (there != ScsiResponse::kOk && !of_target) return there;
  const Which task{address.lun, request.id}, unit{address.lun, std::nullopt};
  switch (function) {
    case Function::kAbortTask:
      return End(task, ScsiResponse::kAborted);
    case Function::kAbortTaskSet:
    case Function::kClearTaskSet:  // There is one initiator.
      return End(unit, ScsiResponse::kAborted);
    case Function::kUnitReset:
      units_[address.lun]->ResetByFunction();
      return End(unit, ScsiResponse::kReset);
    case Function::kNexusReset:
      for (const auto& one : units_) one->ResetByFunction();
      return End({}, ScsiResponse::kReset);
    case Function::kQueryTask:
      return Query(task);
    case Function::kQueryTaskSet:
      return Query(unit);
    case Function::kClearAca:  // There is no ACA.
      break;
  }
  return ScsiResponse::kFunctionRejected;
}

bool ScsiControl::Which::Fits(const ScsiTask& task) const {
  return (!lun || ParseLun(task.lun()).lun == *lun) && (!id || task.id() == *id);
}

// A node cannot be told to stop: what it has been given ends when it ends, and then with this response.
std::optional<ScsiResponse> ScsiControl::End(const Which& which, ScsiResponse response) {
  for (ScsiTask* task : tasks_.all()) {
    if (!which.Fits(*task)) continue;
    task->Revoke(response);
    ++awaited_tasks_;
  }
  if (awaited_tasks_ != 0) return std::nullopt;
  return ScsiResponse::kOk;
}

ScsiResponse ScsiControl::Query(const Which& which) const {
  const bool present = std::any_of(tasks_.all().begin(), tasks_.all().end(),
                                   [&](const ScsiTask* task) { return which.Fits(*task); });
  return present ? ScsiResponse::kFunctionSucceeded : ScsiResponse::kOk;
}

// None of the events that may be asked for is ever told: the answer, whatever is asked, is none.
ScsiResponse ScsiControl::Notify() {
  NotificationRequest request;
  if (!LoadChain(memory_, chain_.readable, 0, &request)) return ScsiResponse::kFailure;
  constexpr uint8_t kNoEvents[4] = {};
  if (!WriteChain(memory_, chain_.writable, 0, kNoEvents)) return ScsiResponse::kFailure;
  response_at_ = sizeof(kNoEvents);
  return CheckAddress(ParseLun(request.lun), units_.size());
}

}  // namespace berth::hw

#include "server/operation/operation_runner.h"

#include <algorithm>

#include "base/log.h"
#include "berth/v1/operation_metadata.pb.h"
#include "mdev/mdev.h"
#include "proto/error_details.h"

namespace berth::server {
namespace {

constexpr size_t kMaxRunning = 64;
// AIP-151: kept for 30 days, unless there are very many.
constexpr int64_t kKeepUs = int64_t{30} * 24 * 3600 * 1'000'000;
constexpr int64_t kKeepCount = 10'000;

int64_t NowUs() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

v1::OperationMetadata MetadataOf(const OperationRequest& request) {
  v1::OperationMetadata metadata;
  metadata.set_verb(request.verb);
  metadata.set_target(request.target);
  return metadata;
}

std::string Digest(const OperationRequest& request) { return request.verb + " " + request.target; }

}  // namespace

void OperationProgress::Report(const std::string& step, int done, int total) {
  MutexLock lock(mutex_);
  step_ = step;
  done_ = done;
  total_ = total;
  bytes_done_ = bytes_total_ = 0;
}

Status OperationProgress::CheckNotCancelled() const {
  if (!cancelled()) return Ok();
  return Fail(Error(Code::kCancelled, "cancelled").Reason("CANCELLED"));
}

void OperationProgress::ReportBytes(const std::string& step, uint64_t done, uint64_t total) {
  MutexLock lock(mutex_);
  step_ = step;
  bytes_done_ = done;
  bytes_total_ = total;
}

void OperationProgress::ReportQuiesce(bool quiesced, const std::string& why_not) {
  MutexLock lock(mutex_);
  quiesced_ = quiesced;
  not_quiesced_ = why_not;
}

OperationRunner::~OperationRunner() { Shutdown(); }

Result<std::optional<Operation>> OperationRunner::Find(const OperationRequest& request) {
  if (request.request_id.empty()) return std::nullopt;
  if (!mdev::ParseUuid(request.request_id)) {
    return Fail(Error(Code::kInvalidArgument, fmt::format("\"{}\" is no UUID", request.request_id))
                    .Reason("BAD_REQUEST_ID")
                    .Field("request_id"));
  }
  const auto stored = TRY(table_.FindRequest(request.request_id));
  if (!stored) return std::nullopt;
  if (stored->request != Digest(request)) {
    return Fail(
        Error(Code::kInvalidArgument, fmt::format("the request id was used before, to {}", stored->request))
            .Reason("REQUEST_ID_REUSED")
            .Field("request_id"));
  }
  return TRY(Get(stored->operation.name()));
}

Result<Operation> OperationRunner::Start(const OperationRequest& request, OperationWork work) {
  StoredOperation stored{
      .create_time_us = NowUs(), .request_id = request.request_id, .request = Digest(request)};
  stored.operation.set_name("operations/" + mdev::NewUuid());
  stored.operation.mutable_metadata()->PackFrom(MetadataOf(request));
  std::vector<std::shared_ptr<Running>> finished;
  {
    MutexLock lock(mutex_);
    finished = TakeFinished();
    if (shutting_down_) {
      return Fail(Error(Code::kFailedPrecondition, "the daemon is shutting down").Reason("SHUTTING_DOWN"));
    }
    if (running_.size() >= kMaxRunning) {
      return Fail(Error(Code::kResourceExhausted, fmt::format("{} operations are running", running_.size()))
                      .Reason("TOO_MANY_OPERATIONS"));
    }
    TRY(table_.Insert(stored));
    auto running = std::make_shared<Running>();
    running->request = request;
    running_.emplace(stored.operation.name(), running);
    running->thread = std::jthread([this, name = stored.operation.name(), raw = running.get(),
                                    work = std::move(work)] { Run(name, *raw, work); });
  }
  if (Status expired = table_.Expire(NowUs() - kKeepUs, kKeepCount); !expired) {
    LOG_WARNING("cannot remove old operations: {}", expired.error().ToString());
  }
  return stored.operation;
}

void OperationRunner::Run(const std::string& name, Running& running, const OperationWork& work) {
  Result<std::unique_ptr<google::protobuf::Message>> result = work(running.progress);
  v1::OperationMetadata metadata = MetadataOf(running.request);
  {
    MutexLock progress_lock(running.progress.mutex_);
    metadata.set_quiesced(running.progress.quiesced_);
    metadata.set_not_quiesced(running.progress.not_quiesced_);
  }
  Operation operation;
  operation.set_name(name);
  operation.mutable_metadata()->PackFrom(metadata);
  operation.set_done(true);
  if (result) {
    operation.mutable_response()->PackFrom(**result);
    LOG_INFO("{} {}: done", running.request.verb, running.request.target);
  } else {
    *operation.mutable_error() = ToRpcStatus(result.error());
    LOG_INFO("{} {}: {}", running.request.verb, running.request.target, result.error().ToString());
  }
  if (Status stored = table_.Update(operation); !stored) {
    LOG_ERROR("cannot store {}: {}", name, stored.error().ToString());
  }
  MutexLock lock(mutex_);
  running.done = true;
  done_.notify_all();
}

Result<Operation> OperationRunner::Get(const std::string& name) {
  Operation operation = TRY(table_.Get(name)).operation;
  MutexLock lock(mutex_);
  const auto found = running_.find(name);
  if (operation.done() || found == running_.end()) return operation;
  v1::OperationMetadata metadata = MetadataOf(found->second->request);
  OperationProgress& progress = found->second->progress;
  MutexLock progress_lock(progress.mutex_);
  metadata.set_step(progress.step_);
  metadata.set_steps_done(progress.done_);
  metadata.set_steps_total(progress.total_);
  metadata.set_bytes_done(static_cast<int64_t>(progress.bytes_done_));
  metadata.set_bytes_total(static_cast<int64_t>(progress.bytes_total_));
  operation.mutable_metadata()->PackFrom(metadata);
  return operation;
}

Result<Operation> OperationRunner::Wait(const std::string& name, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  {
    MutexLock lock(mutex_);
    while (true) {
      const auto found = running_.find(name);
      if (found == running_.end() || found->second->done) break;
      if (!lock.WaitUntil(done_, deadline)) break;
    }
  }
  return Get(name);
}

Status OperationRunner::Cancel(const std::string& name) {
  TRY(table_.Get(name));
  MutexLock lock(mutex_);
  if (const auto found = running_.find(name); found != running_.end())
    found->second->progress.cancelled_ = true;
  return Ok();
}

bool OperationRunner::Background(std::function<void()> work) {
  std::vector<std::shared_ptr<Running>> finished;
  {
    MutexLock lock(mutex_);
    if (shutting_down_) return false;
    finished = TakeFinished();
    auto running = std::make_shared<Running>();
    running_.emplace(fmt::format("background/{}", next_background_++), running);
    running->thread = std::jthread([this, raw = running.get(), work = std::move(work)] {
      work();
      MutexLock done_lock(mutex_);
      raw->done = true;
      done_.notify_all();
    });
  }
  return true;
}

std::vector<std::shared_ptr<OperationRunner::Running>> OperationRunner::TakeFinished() {
  std::vector<std::shared_ptr<Running>> finished;
  std::erase_if(running_, [&](const auto& entry) {
    if (entry.second->done) finished.push_back(entry.second);
    return entry.second->done;
  });
  return finished;
}

bool OperationRunner::AnyRunning() const {
  return std::any_of(running_.begin(), running_.end(), [](const auto& entry) { return !entry.second->done; });
}

void OperationRunner::Shutdown() {
  std::vector<std::shared_ptr<Running>> finished;
  {
    MutexLock lock(mutex_);
    shutting_down_ = true;
    for (auto& [name, running] : running_) running->progress.cancelled_ = true;
    while (AnyRunning()) lock.Wait(done_);
    finished = TakeFinished();
  }
}

Status AbortUnfinished(OperationTable& table) {
  int64_t before = INT64_MAX;
  std::string after;
  while (true) {
    const std::vector<StoredOperation> page = TRY(table.List(before, after, 100));
    if (page.empty()) return Ok();
    for (StoredOperation stored : page) {
      before = stored.create_time_us;
      after = stored.operation.name();
      if (stored.operation.done()) continue;
      stored.operation.set_done(true);
      *stored.operation.mutable_error() = ToRpcStatus(
          Error(Code::kAborted, "the daemon ended while this was being done; what was begun is undone")
              .Reason("DAEMON_RESTARTED"));
      TRY(table.Update(stored.operation));
    }
  }
}

}  // namespace berth::server

// Long-running operations (google.longrunning): work on threads of its own, known by name, kept on disk.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "google/longrunning/operations.pb.h"
#include "server/store/operation_table.h"

namespace berth::server {

using google::longrunning::Operation;

// What an operation's work says of itself, and is told. Any thread.
class OperationProgress {
 public:
  void Report(const std::string& step, int done, int total);
  // For a step that copies.
  void ReportBytes(const std::string& step, uint64_t done, uint64_t total);
  // Of a snapshot, when that is known: whether the guest's file systems were frozen; if not, why.
  void ReportQuiesce(bool quiesced, const std::string& why_not);
  bool cancelled() const { return cancelled_; }
  // CANCELLED, if that is what somebody has asked for.
  Status CheckNotCancelled() const;

 private:
  friend class OperationRunner;
  std::atomic<bool> cancelled_{false};
  Mutex mutex_;
  std::string step_ GUARDED_BY(mutex_);
  int done_ GUARDED_BY(mutex_) = 0;
  int total_ GUARDED_BY(mutex_) = 0;
  uint64_t bytes_done_ GUARDED_BY(mutex_) = 0, bytes_total_ GUARDED_BY(mutex_) = 0;
  bool quiesced_ GUARDED_BY(mutex_) = false;
  std::string not_quiesced_ GUARDED_BY(mutex_);
};

struct OperationRequest {
  std::string verb;        // "create"
  std::string target;      // "guests/web"
  std::string request_id;  // The caller's; empty for none.
};

// What it comes to: the response, to be put into an Any.
using OperationWork = std::function<Result<std::unique_ptr<google::protobuf::Message>>(OperationProgress&)>;

// Any thread. Borrows the table.
class OperationRunner {
 public:
  explicit OperationRunner(OperationTable& table) : table_(table) {}
  ~OperationRunner();

  // Runs `work` and answers at once. RESOURCE_EXHAUSTED, TOO_MANY_OPERATIONS; FAILED_PRECONDITION,
  // SHUTTING_DOWN.
  Result<Operation> Start(const OperationRequest& request, OperationWork work);
  // The operation that was started with this request id. INVALID_ARGUMENT: BAD_REQUEST_ID (no UUID);
  // REQUEST_ID_REUSED, for something else.
  Result<std::optional<Operation>> Find(const OperationRequest& request);
  // NOT_FOUND, OPERATION_NOT_FOUND.
  Result<Operation> Get(const std::string& name);
  // As Get, but waits until it is done, no longer than this.
  Result<Operation> Wait(const std::string& name, std::chrono::milliseconds timeout);
  // Asks it to end; it may succeed all the same.
  Status Cancel(const std::string& name);

  // Work that is nobody's operation, on a thread of its own. False if the daemon is shutting down: the next
  // one finds what is to be done.
  bool Background(std::function<void()> work);
  // Cancels what runs and waits for its end. Nothing starts any more.
  void Shutdown();

 private:
  struct Running {
    OperationRequest request;
    OperationProgress progress;
    std::jthread thread;  // Joined with this; so not under the mutex.
    bool done = false;
  };
  void Run(const std::string& name, Running& running, const OperationWork& work);
  std::vector<std::shared_ptr<Running>> TakeFinished() REQUIRES(mutex_);
  bool AnyRunning() const REQUIRES(mutex_);

  OperationTable& table_;
  Mutex mutex_;
  std::condition_variable done_;
  bool shutting_down_ GUARDED_BY(mutex_) = false;
  uint64_t next_background_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::shared_ptr<Running>> running_ GUARDED_BY(mutex_);
};

// Ends operations that a daemon before this one did not: ABORTED, DAEMON_RESTARTED.
Status AbortUnfinished(OperationTable& table);

}  // namespace berth::server

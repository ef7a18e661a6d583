#include "server/daemon.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <thread>

#include <grpcpp/impl/service_type.h>

#include "base/log.h"
#include "base/pause.h"
#include "base/trace.h"
#include "server/api/services.h"
#include "server/autopilot/autopilot.h"
#include "server/guest/adoption.h"
#include "server/guest/placement_check.h"
#include "server/guest/verbs.h"

namespace berth::server {
namespace {

Status MakeDirectory(const std::string& path, unsigned mode) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error || ::chmod(path.c_str(), mode) != 0)
    return FailErrno(error ? error.value() : errno, "make {}", path);
  return Ok();
}

// One daemon has a state directory; the lock ends with the process.
Result<UniqueFd> LockState(const std::string& state_dir) {
  UniqueFd lock = TRY(Open(state_dir + "/lock", O_RDWR | O_CREAT, 0600));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  return Fail(Error(Code::kFailedPrecondition, fmt::format("another daemon uses {}", state_dir))
                  .Reason("STATE_IN_USE")
                  .With("path", state_dir));
}

// An event loop's thread.
class LoopRunner {
 public:
  explicit LoopRunner(EventLoop& loop) : loop_(loop), thread_([&loop] { loop.Run(); }) {}
  ~LoopRunner() {
    loop_.Stop();
    thread_.join();
  }

 private:
  EventLoop& loop_;
  std::thread thread_;
};

class BerthDaemon final : public Daemon {
 public:
  BerthDaemon(const DaemonOptions& options, std::unique_ptr<HostEffects> host, UniqueFd lock,
              std::unique_ptr<EventLoop> loop, std::unique_ptr<Database> database)
      : options_(options),
        host_(std::move(host)),
        lock_(std::move(lock)),
        loop_(std::move(loop)),
        database_(std::move(database)) {
    engine_.settings = {.runtime_dir = options.runtime_dir,
                        .state_dir = options.state_dir,
                        .first_user = options.first_user,
                        .sandbox = options.sandbox,
                        .vhost_net = host_->Open(VhostNetDescriptor{}).has_value(),
                        .policy = options.policy,
                        .pools = options.pools,
                        .trace_patterns = options.trace_patterns};
    engine_.vmm_program = options.vmm_program;
    engine_.confinement = options.confinement;
    engine_.describe_timeout = options.describe_timeout;
    engine_.agent_times = options.agent_times;
  }

  ~BerthDaemon() override { Shutdown(); }

  Status Start() {
    TRY(book_.Load());
    const host::HostSnapshot snapshot = TRY(host_->Snapshot());
    TRY(CheckAgainstHost(options_.policy, options_.policy_settings, snapshot));
    TRY(AdoptGuests(engine_, steps_, operation_table_, snapshot.boot_id));
    services_.push_back(CreateGuestService(engine_, verbs_, volumes_));
    services_.push_back(CreateHostService(engine_, options_.version));
    volumes_.CleanUp();
    services_.push_back(CreateVolumeService(volumes_));
    services_.push_back(CreateEventService(events_));
    services_.push_back(CreateOperationsService(operations_, operation_table_));
    std::vector<grpc::Service*> services;
    for (const auto& service : services_) services.push_back(service.get());
    server_ = TRY(StartServer(options_.listen, services));
    if (options_.control.writer != nullptr)
      autopilot_ = TRY(StartAutopilot(engine_, verbs_, options_.control));
    placement_watch_ = std::make_unique<PlacementWatch>(engine_, options_.placement_interval);
    expiry_ = std::jthread([this](const std::stop_token& stop) { DeleteExpired(stop); });
    return Ok();
  }

  void Shutdown() override {
    if (server_) server_->Shutdown();
    expiry_ = {};
    autopilot_.reset();
    placement_watch_.reset();
    operations_.Shutdown();
    // Consoles' last callbacks are on the loop.
    loop_->Call([] {});
    for (const GuestPtr& guest : book_.All()) {
      std::shared_ptr<Vmm> vmm;
      MutexLock lock(guest->mutex);
      vmm.swap(guest->vmm);
      ++guest->machines;
      forgotten_.push_back(std::move(vmm));
    }
    forgotten_.clear();
  }

  int port() const override { return server_->port(); }

 private:
  void DeleteExpired(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      verbs_.DeleteExpired();
      Pause(stop, std::chrono::seconds(1));
    }
  }

  const DaemonOptions options_;
  const std::unique_ptr<HostEffects> host_;
  const UniqueFd lock_;
  const std::unique_ptr<EventLoop> loop_;
  const std::unique_ptr<Database> database_;
  GuestTable guest_table_{*database_};
  QuarantineTable quarantine_{*database_};
  StepTable steps_{*database_};
  OperationTable operation_table_{*database_};
  EventLog events_;
  GuestBook book_{guest_table_, events_};
  StepExecutor executor_{*host_, steps_};
  LoopRunner loop_runner_{*loop_};
  OperationRunner operations_{operation_table_};
  Measurements measurements_;
  Engine engine_{.loop = *loop_,
                 .host = *host_,
                 .table = guest_table_,
                 .quarantine = quarantine_,
                 .book = book_,
                 .events = events_,
                 .executor = executor_,
                 .operations = operations_,
                 .measurements = measurements_,
                 .settings = {},
                 .vmm_program = {},
                 .confinement = {}};
  GuestVerbs verbs_{engine_};
  VolumeVerbs volumes_{engine_};
  std::vector<std::shared_ptr<Vmm>> forgotten_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<PlacementWatch> placement_watch_;
  std::jthread expiry_;
  std::unique_ptr<Autopilot> autopilot_;
};

}  // namespace

Result<std::unique_ptr<Daemon>> StartDaemon(const DaemonOptions& options, std::unique_ptr<HostEffects> host) {
  for (const std::string& pattern : options.trace_patterns) trace::Enable(pattern);
  TRY(MakeDirectory(options.state_dir, 0700));
  // Others may reach the API's socket through it, nothing else: what else is in it is closed to them.
  TRY(MakeDirectory(options.runtime_dir, 0755));
  TRY(MakeDirectory(options.runtime_dir + "/guests", 0700));
  UniqueFd lock = TRY(LockState(options.state_dir));
  std::unique_ptr<EventLoop> loop = TRY(EventLoop::Create());
  std::unique_ptr<Database> database = TRY(Database::Open(options.state_dir + "/state.db"));
  auto daemon = std::make_unique<BerthDaemon>(options, std::move(host), std::move(lock), std::move(loop),
                                              std::move(database));
  TRY(daemon->Start());
  return daemon;
}

}  // namespace berth::server

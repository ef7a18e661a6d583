#include "server/guest/adoption.h"

#include <algorithm>

#include "base/log.h"
#include "base/socket.h"
#include "host/control/record.h"
#include "server/guest/device_release.h"
#include "server/guest/disk_change.h"
#include "server/guest/machine.h"
#include "server/guest/reservation_view.h"
#include "server/guest/state.h"

namespace berth::server {
namespace {

Error Restarted(std::string_view what) {
  return Error(Code::kAborted, fmt::format("the daemon ended while the guest was {}", what))
      .Reason("DAEMON_RESTARTED");
}

// The process that the guest's start recorded.
Result<ProcessChange> RecordedProcess(StepTable& steps, const std::string& uid) {
  for (const StoredStep& step : TRY(steps.ListOf(uid))) {
    if (step.kind == "process") return host::Decode<ProcessChange>(step.record);
  }
  return Fail(Error(Code::kNotFound, "no process of it is on record").Reason("PROCESS_NOT_FOUND"));
}

// Devices that left the machine while the daemon was away, or had not got there yet.
void ReleaseAbsentDevices(Engine& engine, const GuestPtr& guest, const control::Built& built) {
  const v1::Guest stored = guest->Get();
  for (const v1::ClaimedDevice& claimed : stored.claimed_devices()) {
    const auto& there = built.devices();
    if (std::any_of(there.begin(), there.end(),
                    [&](const control::DeviceState& device) { return device.id() == claimed.id(); })) {
      continue;
    }
    LOG_INFO("{} no longer has {}", guest->name, claimed.id());
    const Status released = ReleaseDevice(engine, guest, claimed.id(), std::nullopt);
    if (!released) {
      LOG_ERROR("{} of {} is not given back: {}", claimed.id(), guest->name, released.error().ToString());
    }
  }
}

Status TakeOver(Engine& engine, StepTable& steps, const GuestPtr& guest) {
  const v1::Guest stored = guest->Get();
  const ProcessChange process = TRY(RecordedProcess(steps, guest->uid));
  UniqueFd pidfd = TRY(OpenProcess(engine.proc, process));
  UniqueFd socket = TRY(ConnectTo(ControlSocketPath(engine.settings, stored)));
  std::unique_ptr<VmmLog> log =
      TRY(VmmLog::Open(engine.loop, GuestRuntimeDir(engine.settings, stored) + "/log", guest->name));
  const auto vmm = TRY(WatchMachine(
      engine, guest,
      {.process = process, .pidfd = std::move(pidfd), .socket = std::move(socket), .log = std::move(log)}));
  {
    MutexLock lock(guest->mutex);
    guest->reservation = ToReservation(stored);
  }
  control::Request describe, subscribe;
  describe.mutable_describe();
  subscribe.mutable_subscribe();
  Result<control::Reply> reply = vmm->Call(describe, {}, engine.describe_timeout);
  if (!reply && reply.error().reason() == "VMM_TIMED_OUT") {
    // A guest is not ended because its VMM is slow to answer; its death would still be noticed.
    LOG_WARNING("{} runs, but its VMM does not answer", guest->name);
    return Ok();
  }
  if (!reply) return Fail(std::move(reply).error());
  if (reply->description().machine().uid() != guest->uid) {
    return Fail(Error(Code::kInternal, "its VMM says it is another guest").Reason("VMM_PROTOCOL_ERROR"));
  }
  TRY(vmm->Call(subscribe));
  {
    MutexLock lock(guest->mutex);
    guest->machine_state = reply->description().state();
  }
  ReleaseAbsentDevices(engine, guest, reply->description().built());
  if (const Status settled = SettleDiskChange(engine, *guest); !settled) {
    LOG_ERROR("what has become of a disk of {} is not known: {}", guest->name, settled.error().ToString());
  }
  return Ok();
}

void Adopt(Engine& engine, StepTable& steps, const GuestPtr& guest, bool rebooted) {
  const v1::Guest::State state = guest->Get().state();
  bool creating;
  {
    MutexLock lock(guest->mutex);
    creating = guest->stored.creating;
    guest->operation = "adopt";
  }
  Status restored = Ok();
  bool remove = false;
  if (creating || state == v1::Guest::DELETING) {
    restored = ReleaseMachine(engine, *guest, v1::Guest::DELETING, std::nullopt);
    remove = restored.has_value();
  } else if (state == v1::Guest::RUNNING && rebooted) {
    restored = ReleaseMachine(engine, *guest, v1::Guest::STOPPED,
                              Error(Code::kAborted, "the host was booted").Reason("HOST_REBOOTED"));
  } else if (state == v1::Guest::RUNNING) {
    if (const Status taken = TakeOver(engine, steps, guest); taken) {
      LOG_INFO("{} is found running", guest->name);
    } else {
      restored = ReleaseMachine(
          engine, *guest, v1::Guest::FAILED,
          Error(Code::kUnavailable,
                fmt::format("the VMM was lost while the daemon was away: {}", taken.error().message()))
              .Reason("VMM_DIED"));
    }
  } else if (state == v1::Guest::STARTING) {
    restored = ReleaseMachine(engine, *guest, v1::Guest::FAILED, Restarted("starting"));
  } else if (state == v1::Guest::STOPPING) {
    restored = ReleaseMachine(engine, *guest, v1::Guest::STOPPED, std::nullopt);
  } else if (!engine.executor.IsClean(guest->uid).value_or(false)) {
    restored = ReleaseMachine(engine, *guest, state, std::nullopt);
  }
  if (!restored) LOG_ERROR("{} is not put in order: {}", guest->name, restored.error().ToString());
  if (remove) (void)engine.book.Remove(*guest);
  EndOperation(engine, guest);
}

}  // namespace

Status AdoptGuests(Engine& engine, StepTable& steps, OperationTable& operations, const std::string& boot_id) {
  const bool rebooted = TRY(steps.ForgetOtherBoots(boot_id));
  if (rebooted) TRY(engine.quarantine.Clear());
  for (const GuestPtr& guest : engine.book.All()) Adopt(engine, steps, guest, rebooted);
  return AbortUnfinished(operations);
}

}  // namespace berth::server

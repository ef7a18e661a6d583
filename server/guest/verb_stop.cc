#include "server/guest/running_vmm.h"
#include "server/guest/verbs.h"
#include "server/guest/verbs_internal.h"

namespace berth::server {
namespace {

constexpr int kDefaultGraceSeconds = 60;
constexpr int kMaxGraceSeconds = 3600;
// How often a waiting stop looks whether it was cancelled.
constexpr std::chrono::milliseconds kCancelTime{200};

// Whether the guest powered off in time.
Result<bool> AwaitPowerOff(GuestEntry& guest, int grace_seconds, const OperationProgress& progress) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(grace_seconds);
  MutexLock lock(guest.mutex);
  while (true) {
    if (guest.vmm_gone || guest.machine_state == control::POWERED_OFF ||
        guest.machine_state == control::FAILED) {
      return true;
    }
    const auto now = std::chrono::steady_clock::now();
    if (now >= deadline) return false;
    if (progress.cancelled()) {
      return Fail(Error(Code::kCancelled, "the guest was told to power off, and is not waited for any longer")
                      .Reason("CANCELLED"));
    }
    (void)lock.WaitUntil(guest.changed, std::min(deadline, now + kCancelTime));
  }
}

Status PowerOff(GuestEntry& guest, int grace_seconds, OperationProgress& progress) {
  const std::shared_ptr<Vmm> vmm = guest.GetVmm();
  if (!vmm) return Ok();
  progress.Report("press the power button", 0, 2);
  control::Request press, quit;
  press.mutable_power_button();
  quit.mutable_quit();
  // A VMM that does not answer is ended after the grace period as one whose guest does not.
  (void)vmm->Call(press);
  progress.Report("wait for the guest to power off", 1, 2);
  if (TRY(AwaitPowerOff(guest, grace_seconds, progress))) (void)vmm->Call(quit);
  return Ok();
}

}  // namespace

Result<Operation> GuestVerbs::Stop(const v1::StopGuestRequest& request) {
  if (request.grace_period_seconds() < 0 || request.grace_period_seconds() > kMaxGraceSeconds) {
    return Fail(Error(Code::kInvalidArgument, fmt::format("a grace period is 0 to {} s", kMaxGraceSeconds))
                    .Reason("INVALID_FIELD")
                    .Field("grace_period_seconds"));
  }
  const int grace =
      request.grace_period_seconds() == 0 ? kDefaultGraceSeconds : request.grace_period_seconds();
  const OperationRequest asked{.verb = "stop", .target = request.name(), .request_id = request.request_id()};
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  const GuestPtr guest = TRY(engine_.book.Find(request.name()));
  TRY(BeginOperation(guest, asked.verb));
  OperationScope until_started(engine_, guest);
  TRY(CheckTransition(guest->Get(), Verb::kStop));
  Result<Operation> operation = engine_.operations.Start(
      asked,
      [this, guest, grace, force = request.force()](
          OperationProgress& progress) -> Result<std::unique_ptr<google::protobuf::Message>> {
        OperationScope scope(engine_, guest);
        if (!force) TRY(PowerOff(*guest, grace, progress));
        TRY(engine_.book.Change(*guest,
                                [](StoredGuest& stored) { stored.guest.set_state(v1::Guest::STOPPING); }));
        TRY(ReleaseMachine(engine_, *guest, v1::Guest::STOPPED, std::nullopt));
        return ResponseOf(guest->Get());
      });
  if (operation) until_started.HandOn();
  return operation;
}

Result<v1::Guest> GuestVerbs::Press(const std::string& name, bool reset) {
  const GuestPtr guest = TRY(engine_.book.Find(name));
  TRY(CheckTransition(guest->Get(), reset ? Verb::kReset : Verb::kPowerButton));
  control::Request request;
  if (reset) {
    request.mutable_reset_machine();
  } else {
    request.mutable_power_button();
  }
  if (const std::shared_ptr<Vmm> vmm = guest->GetVmm()) TRY(vmm->Call(std::move(request)));
  return guest->Get();
}

Result<UniqueFd> OpenConsole(Engine& engine, const std::string& name) {
  return TRY(RunningVmm(engine, name))->AttachConsole();
}

}  // namespace berth::server

#include <google/protobuf/util/time_util.h>

#include "server/guest/disk_change.h"
#include "server/guest/verbs.h"
#include "server/guest/verbs_internal.h"

namespace berth::server {

Result<Operation> GuestVerbs::Start(const v1::StartGuestRequest& request) {
  const OperationRequest asked{.verb = "start", .target = request.name(), .request_id = request.request_id()};
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  const GuestPtr guest = TRY(engine_.book.Find(request.name()));
  TRY(BeginOperation(guest, asked.verb));
  OperationScope until_started(engine_, guest);
  TRY(CheckTransition(guest->Get(), Verb::kStart));
  TRY(SettleDiskChange(engine_, *guest));
  const v1::Guest before = guest->Get();
  if (!TRY(engine_.executor.IsClean(guest->uid))) {
    return Fail(
        Error(Code::kFailedPrecondition, fmt::format("what {} changed on the host is not all put back: {}",
                                                     guest->name, before.error().message()))
            .Reason("HOST_NOT_RESTORED")
            .With("resource", guest->name));
  }
  StoredGuest stored;
  {
    MutexLock guest_lock(guest->mutex);
    stored = guest->stored;
  }
  const auto prepared = std::make_shared<PreparedStart>(TRY(Prepare(stored, PrepareFor::kStart)));
  if (request.validate_only()) {
    ShowPrepared(*prepared, &stored.guest);
    return DoneOperation(stored.guest);
  }
  {
    MutexLock guest_lock(guest->mutex);
    guest->reservation = prepared->placement.reservation;
  }
  Status changed = engine_.book.Change(*guest, [](StoredGuest& changing) {
    changing.guest.set_state(v1::Guest::STARTING);
    changing.guest.clear_expiration();
    *changing.guest.mutable_start_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
  });
  Result<Operation> operation = Fail(Code::kInternal, "not started");
  if (changed) {
    operation = engine_.operations.Start(
        asked,
        [this, guest,
         prepared](OperationProgress& progress) -> Result<std::unique_ptr<google::protobuf::Message>> {
          OperationScope scope(engine_, guest);
          Status started = StartMachine(engine_, guest, *prepared, progress);
          if (started) return ResponseOf(guest->Get());
          const Status released = ReleaseMachine(engine_, *guest, v1::Guest::FAILED, started.error());
          Error error = std::move(started).error();
          if (!released) error = std::move(error).With("notRestored", released.error().message());
          return Fail(std::move(error));
        });
  } else {
    operation = Fail(std::move(changed).error());
  }
  if (operation) {
    until_started.HandOn();
    return operation;
  }
  {
    MutexLock guest_lock(guest->mutex);
    guest->reservation.reset();
  }
  (void)engine_.book.Change(*guest, [&](StoredGuest& changing) { changing.guest = before; });
  return operation;
}

}  // namespace berth::server

#include <google/protobuf/util/time_util.h>

#include "base/log.h"
#include "mdev/mdev.h"
#include "server/guest/expiration.h"
#include "server/guest/field_error.h"
#include "server/guest/promised.h"
#include "server/guest/spec_check.h"
#include "server/guest/verbs.h"
#include "server/guest/verbs_internal.h"

namespace berth::server {
namespace {

Result<StoredGuest> NewGuest(const v1::CreateGuestRequest& request) {
  StoredGuest stored{.creating = request.start()};
  v1::Guest& guest = stored.guest;
  guest.set_name("guests/" + request.guest_id());
  guest.set_uid(mdev::NewUuid());
  guest.set_etag(mdev::NewUuid().substr(0, 8));
  *guest.mutable_create_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
  *guest.mutable_update_time() = guest.create_time();
  *guest.mutable_labels() = request.guest().labels();
  *guest.mutable_spec() = request.guest().spec();
  guest.set_state(v1::Guest::DEFINED);
  if (request.guest().has_ttl()) *guest.mutable_ttl() = request.guest().ttl();
  if (request.guest().has_expire_time()) *guest.mutable_expire_time() = request.guest().expire_time();
  if (request.start() && guest.expiration_case() != v1::Guest::EXPIRATION_NOT_SET)
    return BadPath(guest.has_ttl() ? "guest.ttl" : "guest.expire_time",
                   "a guest that is started does not expire");
  TRY(SettleExpiration(guest.create_time(), &guest));
  return stored;
}

// Nothing is left of a guest whose creation failed, or what is left keeps its name and its claims.
Error Abandon(Engine& engine, GuestEntry& guest, Error error) {
  Status released = ReleaseMachine(engine, guest, v1::Guest::DELETING, error);
  if (released) released = engine.book.Remove(guest);
  if (released) return error;
  LOG_ERROR("{} stays, because {}", guest.name, released.error().ToString());
  return std::move(error).With("notRestored", released.error().message());
}

}  // namespace

Result<PreparedStart> GuestVerbs::Prepare(const StoredGuest& guest, PrepareFor purpose) {
  const Promised promised = PromisedBy(engine_);
  return PrepareStart(engine_.host, guest, TRY(engine_.table.Claims()), TRY(engine_.quarantine.List()),
                      promised.ledger, promised.overhead, engine_.settings, purpose);
}

Result<Operation> GuestVerbs::Create(const v1::CreateGuestRequest& request) {
  TRY(CheckGuestId(request.guest_id()));
  TRY(CheckLabels(request.guest()));
  TRY(CheckSpec(request.guest().spec()));
  const StoredGuest wanted = TRY(NewGuest(request));
  const OperationRequest asked{
      .verb = "create", .target = wanted.guest.name(), .request_id = request.request_id()};

  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  if (engine_.book.Find(wanted.guest.name())) {
    return Fail(Error(Code::kAlreadyExists, fmt::format("there is a guest {} already", wanted.guest.name()))
                    .Reason("GUEST_EXISTS")
                    .With("resource", wanted.guest.name()));
  }
  const auto prepared = std::make_shared<PreparedStart>(
      TRY(Prepare(wanted, request.start() ? PrepareFor::kStart : PrepareFor::kDefinition)));
  StoredGuest shown = wanted;
  ShowPrepared(*prepared, &shown.guest);
  if (request.validate_only()) return DoneOperation(shown.guest);

  shown.guest.clear_placement();
  shown.guest.clear_network_interfaces();
  const GuestPtr guest =
      TRY(engine_.book.Insert(std::move(shown), ClaimsOf(prepared->devices, wanted.guest.uid())));
  if (request.start()) return CreateAndStart(asked, guest, prepared);
  Result<Operation> operation = engine_.operations.Start(
      asked, [guest](OperationProgress&) -> Result<std::unique_ptr<google::protobuf::Message>> {
        return ResponseOf(guest->Get());
      });
  if (!operation) (void)engine_.book.Remove(*guest);
  return operation;
}

Result<Operation> GuestVerbs::CreateAndStart(const OperationRequest& request, const GuestPtr& guest,
                                             const std::shared_ptr<PreparedStart>& prepared) {
  {
    MutexLock lock(guest->mutex);
    guest->operation = request.verb;
    guest->reservation = prepared->placement.reservation;
    // Only now it has its slot.
    prepared->plan = MakeLaunchPlan(guest->stored, prepared->devices, prepared->placement,
                                    prepared->admission, engine_.settings);
  }
  (void)engine_.book.Change(*guest, [](StoredGuest& stored) {
    stored.guest.set_state(v1::Guest::STARTING);
    *stored.guest.mutable_start_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
  });
  Result<Operation> operation = engine_.operations.Start(
      request,
      [this, guest,
       prepared](OperationProgress& progress) -> Result<std::unique_ptr<google::protobuf::Message>> {
        OperationScope scope(engine_, guest);
        if (Status started = StartMachine(engine_, guest, *prepared, progress); !started) {
          return Fail(Abandon(engine_, *guest, std::move(started).error()));
        }
        return ResponseOf(guest->Get());
      });
  if (!operation) return Fail(Abandon(engine_, *guest, std::move(operation).error()));
  return operation;
}

}  // namespace berth::server

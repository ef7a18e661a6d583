#include "server/guest/verbs.h"
#include "server/guest/verbs_internal.h"

namespace berth::server {
namespace {

Status CheckEtag(const v1::Guest& guest, const std::string& etag) {
  if (etag.empty() || etag == guest.etag()) return Ok();
  return Fail(Error(Code::kAborted, fmt::format("{} has changed since it was read", guest.name()))
                  .Reason("ETAG_MISMATCH")
                  .With("resource", guest.name())
                  .With("etag", guest.etag()));
}

}  // namespace

Result<Operation> GuestVerbs::Delete(const v1::DeleteGuestRequest& request) {
  const OperationRequest asked{
      .verb = "delete", .target = request.name(), .request_id = request.request_id()};
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  Result<GuestPtr> found = engine_.book.Find(request.name());
  if (!found && request.allow_missing()) return DoneOperation(google::protobuf::Empty());
  const GuestPtr guest = TRY(std::move(found));
  TRY(CheckEtag(guest->Get(), request.etag()));
  TRY(CheckTransition(guest->Get(), request.force() ? Verb::kForceDelete : Verb::kDelete));
  if (request.validate_only()) return DoneOperation(google::protobuf::Empty());

  TRY(BeginOperation(guest, asked.verb));
  OperationScope until_started(engine_, guest);
  const v1::Guest::State before = guest->Get().state();
  TRY(engine_.book.Change(*guest, [](StoredGuest& stored) { stored.guest.set_state(v1::Guest::DELETING); }));
  Result<Operation> operation = engine_.operations.Start(
      asked, [this, guest](OperationProgress&) -> Result<std::unique_ptr<google::protobuf::Message>> {
        OperationScope scope(engine_, guest);
        TRY(ReleaseMachine(engine_, *guest, v1::Guest::DELETING, std::nullopt));
        TRY(engine_.book.Remove(*guest));
        return std::make_unique<google::protobuf::Empty>();
      });
  if (operation) {
    until_started.HandOn();
  } else {
    (void)engine_.book.Change(*guest, [&](StoredGuest& stored) { stored.guest.set_state(before); });
  }
  return operation;
}

}  // namespace berth::server

#include <google/protobuf/util/time_util.h>

#include "base/log.h"
#include "server/guest/expiration.h"
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
  return BeginDelete(asked, guest);
}

Result<Operation> GuestVerbs::BeginDelete(const OperationRequest& request, const GuestPtr& guest) {
  TRY(BeginOperation(guest, request.verb));
  OperationScope until_started(engine_, guest);
  const v1::Guest::State before = guest->Get().state();
  TRY(engine_.book.Change(*guest, [](StoredGuest& stored) { stored.guest.set_state(v1::Guest::DELETING); }));
  Result<Operation> operation = engine_.operations.Start(
      request, [this, guest](OperationProgress&) -> Result<std::unique_ptr<google::protobuf::Message>> {
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

void GuestVerbs::DeleteExpired() {
  const auto now = google::protobuf::util::TimeUtil::GetCurrentTime();
  for (const GuestPtr& guest : engine_.book.All()) {
    if (!IsExpired(guest->Get(), now)) continue;
    MutexLock lock(admission_);
    // Looked at again: it may have been started meanwhile, or given more time.
    if (!IsExpired(guest->Get(), now)) continue;
    const OperationRequest request{.verb = "delete", .target = guest->name, .request_id = ""};
    if (const auto deletion = BeginDelete(request, guest); deletion) {
      LOG_INFO("{} expires: nobody has started it", guest->name);
    } else {
      LOG_WARNING("{} cannot expire yet: {}", guest->name, deletion.error().ToString());
    }
  }
}

}  // namespace berth::server

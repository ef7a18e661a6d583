#include "server/guest/device_release.h"
#include "server/guest/verbs.h"
#include "server/guest/verbs_internal.h"

namespace berth::server {
namespace {

constexpr int kDefaultGraceSeconds = 30;
constexpr int kMaxGraceSeconds = 3600;

Status CheckHasDevice(const v1::Guest& guest, const std::string& device_id) {
  std::string known;
  for (const v1::ClaimedDevice& device : guest.claimed_devices()) {
    if (device.id() == device_id) return Ok();
    known += (known.empty() ? "" : ", ") + device.id();
  }
  return Fail(Error(Code::kNotFound, fmt::format("{} has no assigned device {}; it has {}", guest.name(),
                                                 device_id, known.empty() ? "none" : known))
                  .Reason("DEVICE_NOT_FOUND")
                  .With("resource", guest.name())
                  .With("device", device_id)
                  .Field("device_id"));
}

// Whether the guest gave it up; else it was pulled out. DEADLINE_EXCEEDED, GUEST_KEEPS_DEVICE.
Result<bool> TakeOut(const GuestPtr& guest, const std::string& device_id, int grace_seconds, bool force,
                     OperationProgress& progress) {
  progress.Report("ask the guest for " + device_id, 0, 3);
  TRY(AskForDevice(*guest, device_id, false));
  progress.Report("wait for the guest", 1, 3);
  if (TRY(AwaitUnplugged(*guest, device_id, std::chrono::seconds(grace_seconds), progress))) return true;
  if (!force) {
    return Fail(
        Error(Code::kDeadlineExceeded,
              fmt::format("{} has not given up {} within {} s; it is asked still. force takes it away",
                          guest->name, device_id, grace_seconds))
            .Reason("GUEST_KEEPS_DEVICE")
            .With("resource", guest->name)
            .With("device", device_id));
  }
  TRY(AskForDevice(*guest, device_id, true));
  TRY(AwaitUnplugged(*guest, device_id, kPulledOutTime, progress));
  return false;
}

}  // namespace

Result<Operation> GuestVerbs::Detach(const v1::DetachDeviceRequest& request) {
  if (request.grace_period_seconds() < 0 || request.grace_period_seconds() > kMaxGraceSeconds) {
    return Fail(Error(Code::kInvalidArgument, fmt::format("a grace period is 0 to {} s", kMaxGraceSeconds))
                    .Reason("INVALID_FIELD")
                    .Field("grace_period_seconds"));
  }
  const int grace =
      request.grace_period_seconds() == 0 ? kDefaultGraceSeconds : request.grace_period_seconds();
  const OperationRequest asked{
      .verb = "detach", .target = request.name(), .request_id = request.request_id()};
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  const GuestPtr guest = TRY(engine_.book.Find(request.name()));
  TRY(BeginOperation(guest, asked.verb));
  OperationScope until_started(engine_, guest);
  TRY(CheckTransition(guest->Get(), Verb::kDetach));
  TRY(CheckHasDevice(guest->Get(), request.device_id()));
  Result<Operation> operation = engine_.operations.Start(
      asked,
      [this, guest, grace, device_id = request.device_id(), force = request.force()](
          OperationProgress& progress) -> Result<std::unique_ptr<google::protobuf::Message>> {
        OperationScope scope(engine_, guest);
        std::optional<Error> pulled_out;
        if (!TRY(TakeOut(guest, device_id, grace, force, progress))) {
          pulled_out = Error(Code::kAborted,
                             fmt::format("it was pulled out of {}, which had not let go of it", guest->name))
                           .Reason("FORCED_DETACH");
        }
        progress.Report("give it back to the host", 2, 3);
        TRY(ReleaseDevice(engine_, guest, device_id, pulled_out));
        return ResponseOf(guest->Get());
      });
  if (operation) until_started.HandOn();
  return operation;
}

}  // namespace berth::server

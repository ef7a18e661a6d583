#include <algorithm>

#include "server/guest/device_release.h"
#include "server/guest/device_spec_check.h"
#include "server/guest/spec_check.h"
#include "server/guest/verbs.h"
#include "server/guest/verbs_internal.h"

namespace berth::server {
namespace {

// An id that no device of the guest has: "assigned3".
std::string FreeId(const v1::GuestSpec& spec) {
  for (int number = 0;; ++number) {
    std::string id = fmt::format("assigned{}", number);
    const auto& devices = spec.assigned_devices();
    if (std::none_of(devices.begin(), devices.end(), [&](const auto& device) { return device.id() == id; })) {
      return id;
    }
  }
}

std::vector<std::vector<int>> MemoryNodes(const v1::Guest& guest) {
  std::vector<std::vector<int>> nodes;
  for (const auto& memory : guest.placement().memory()) {
    nodes.emplace_back(memory.host_nodes().begin(), memory.host_nodes().end());
  }
  return nodes;
}

// The caller named a device, not its place in the spec.
Error AboutTheDevice(Error error, int index) {
  const std::string prefix = fmt::format("guest.spec.assigned_devices[{}]", index);
  if (!error.field().starts_with(prefix)) return error;
  const std::string field = "device" + error.field().substr(prefix.size());
  return std::move(error).Field(field);
}

}  // namespace

Result<Operation> GuestVerbs::Attach(const v1::AttachDeviceRequest& request) {
  const OperationRequest asked{
      .verb = "attach", .target = request.name(), .request_id = request.request_id()};
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  const GuestPtr guest = TRY(engine_.book.Find(request.name()));
  TRY(BeginOperation(guest, asked.verb));
  OperationScope until_started(engine_, guest);
  TRY(CheckTransition(guest->Get(), Verb::kAttach));

  StoredGuest before;
  {
    MutexLock guest_lock(guest->mutex);
    before = guest->stored;
  }
  StoredGuest after = before;
  v1::GuestSpec* spec = after.guest.mutable_spec();
  NameDevices(spec);
  *spec->add_assigned_devices() = request.device();
  v1::AssignedDeviceSpec* device = spec->mutable_assigned_devices(spec->assigned_devices_size() - 1);
  if (device->id().empty()) device->set_id(FreeId(*spec));
  const int index = spec->assigned_devices_size() - 1;
  if (Status checked = CheckSpec(*spec); !checked) {
    return Fail(AboutTheDevice(std::move(checked).error(), index));
  }
  Result<std::vector<ResolvedDevice>> resolved =
      ResolveDevices(TRY(engine_.host.Snapshot()), *spec, TRY(engine_.table.Claims()),
                     TRY(engine_.quarantine.List()), guest->uid);
  if (!resolved) return Fail(AboutTheDevice(std::move(resolved).error(), index));
  *after.guest.add_claimed_devices() = ToClaimedDevice(resolved->back());
  if (request.validate_only()) return DoneOperation(after.guest);

  const DevicePlan plan = PlanDevice(resolved->back(), *device, MemoryNodes(before.guest));
  // The claims first: they may be refused. A crash from here on is put right by the next daemon, which finds
  // a device that is in no machine.
  TRY(engine_.table.Update(after, ClaimsOf(*resolved, guest->uid)));
  TRY(engine_.book.Change(*guest, [&](StoredGuest& stored) {
    *stored.guest.mutable_spec() = after.guest.spec();
    *stored.guest.mutable_claimed_devices() = after.guest.claimed_devices();
  }));
  Result<Operation> operation = engine_.operations.Start(
      asked,
      [this, guest, plan](OperationProgress& progress) -> Result<std::unique_ptr<google::protobuf::Message>> {
        OperationScope scope(engine_, guest);
        Status plugged = PlugDevice(engine_, guest, plan, progress);
        if (plugged) return ResponseOf(guest->Get());
        Error error = std::move(plugged).error();
        const Status released = ReleaseDevice(engine_, guest, plan.id, std::nullopt);
        if (!released) error = std::move(error).With("notRestored", released.error().message());
        return Fail(std::move(error));
      });
  if (operation) {
    until_started.HandOn();
    return operation;
  }
  (void)ReleaseDevice(engine_, guest, plan.id, std::nullopt);
  return operation;
}

}  // namespace berth::server

#include "server/guest/device_key.h"
#include "server/guest/machine.h"
#include "server/guest/running_vmm.h"

namespace berth::server {
namespace {

// Opening a device resets it, and the first one has all of the guest's memory mapped.
constexpr std::chrono::minutes kPlugTimeout{5};
// How often a waiting detachment looks whether it was cancelled.
constexpr std::chrono::milliseconds kCancelTime{200};

// Whether the machine has another device of this group, and so the group itself.
bool HoldsGroup(Engine& engine, const v1::Guest& guest, const std::string& device_id, int group) {
  for (const v1::ClaimedDevice& other : guest.claimed_devices()) {
    if (other.id() == device_id || other.guest_address().empty()) continue;
    VfioDeviceName name{.address = {}, .vf = {}, .mdev_uuid = other.mdev_uuid()};
    if (const auto address = host::PciAddress::Parse(other.pci_address())) name.address = *address;
    const auto located = engine.host.Locate(name);
    if (located && located->group == group) return true;
  }
  return false;
}

}  // namespace

Status PlugDevice(Engine& engine, const GuestPtr& guest, const DevicePlan& plan,
                  OperationProgress& progress) {
  const int total = static_cast<int>(plan.steps.size()) + 1;
  int done = 0;
  const auto begin = [&](const std::string& what) -> Status {
    progress.Report(what, done++, total);
    TRY(progress.CheckNotCancelled());
    return Ok();
  };
  TRY(engine.executor.Run(
      guest->uid, plan.steps,
      [&](const Step& step) { return begin(fmt::format("{} {}", KindOf(step), SubjectOf(step))); }, plan.id));

  TRY(begin("plug it in"));
  const std::shared_ptr<Vmm> vmm = guest->GetVmm();
  if (!vmm) return GuestEnding(guest->name);
  const HostEffects::VfioDevice located = TRY(engine.host.Locate(plan.name));
  control::Request request;
  control::DeviceConfig* device = request.mutable_plug_device()->mutable_device();
  *device = plan.config;
  device->mutable_vfio()->set_device_name(located.name);
  device->mutable_vfio()->set_group(std::to_string(located.group));
  UniqueFd group;
  std::vector<int> borrowed;
  if (!HoldsGroup(engine, guest->Get(), plan.id, located.group)) {
    group = TRY(engine.host.Open(VfioGroupDescriptor{located.group}));
    borrowed.push_back(group.get());
  }
  const control::Reply reply = TRY(vmm->Call(request, borrowed, kPlugTimeout));
  const auto guest_address = host::PciAddress::Parse(reply.device().guest_address());
  TRY(engine.book.Change(*guest, [&](StoredGuest& stored) {
    for (v1::ClaimedDevice& claimed : *stored.guest.mutable_claimed_devices()) {
      if (claimed.id() != plan.id) continue;
      if (guest_address) claimed.set_guest_address(guest_address->ToString());
      const auto address = host::PciAddress::Parse(located.name);
      if (!address) continue;
      claimed.set_pci_address(address->ToString());
      claimed.set_host_device(PciDeviceName(*address));
    }
  }));
  v1::Event event = EventOf(guest->Get(), v1::Event::DEVICE_ATTACHED);
  event.set_device(plan.id);
  engine.events.Publish(std::move(event));
  return Ok();
}

Status AskForDevice(GuestEntry& guest, const std::string& device_id, bool force) {
  const std::shared_ptr<Vmm> vmm = guest.GetVmm();
  if (!vmm) return GuestEnding(guest.name);
  control::Request request;
  request.mutable_unplug_device()->set_id(device_id);
  request.mutable_unplug_device()->set_force(force);
  const auto reply = vmm->Call(request);
  // It may have been asked before, or be gone already.
  if (reply || reply.error().reason() == "UNPLUG_PENDING") return Ok();
  MutexLock lock(guest.mutex);
  if (guest.unplugged.contains(device_id)) return Ok();
  return Fail(reply.error());
}

Result<bool> AwaitUnplugged(GuestEntry& guest, const std::string& device_id, std::chrono::milliseconds time,
                            const OperationProgress& progress) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  MutexLock lock(guest.mutex);
  while (guest.unplugged.erase(device_id) == 0) {
    if (guest.vmm_gone) return GuestEnding(guest.name);
    const auto now = std::chrono::steady_clock::now();
    if (now >= deadline) return false;
    if (progress.cancelled()) {
      return Fail(
          Error(Code::kCancelled, "the guest was asked for the device, and is not waited for any longer")
              .Reason("CANCELLED"));
    }
    (void)lock.WaitUntil(guest.changed, std::min(deadline, now + kCancelTime));
  }
  return true;
}

}  // namespace berth::server

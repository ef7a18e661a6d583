#include <algorithm>
#include <utility>

#include "base/log.h"
#include "server/guest/device_release.h"
#include "server/guest/machine.h"
#include "server/guest/quiesce.h"

namespace berth::server {
namespace {

constexpr std::chrono::seconds kQuitTimeout{5};

std::optional<v1::Event::Kind> KindFor(control::Event::Kind kind) {
  switch (kind) {
    case control::Event::GUEST_RESET:
      return v1::Event::GUEST_RESET;
    case control::Event::GUEST_PANICKED:
      return v1::Event::GUEST_PANICKED;
    case control::Event::DEVICE_REQUESTED:
      return v1::Event::DEVICE_REQUESTED;
    case control::Event::DEVICE_FAILED:
      return v1::Event::DEVICE_FAILED;
    case control::Event::WARNING:
      return v1::Event::WARNING;
    default:
      return std::nullopt;  // Changes of state are told once they are ours.
  }
}

bool HasEnded(const GuestEntry& guest) REQUIRES(guest.mutex) {
  return guest.vmm_gone || guest.machine_state == control::POWERED_OFF ||
         guest.machine_state == control::FAILED;
}

void Settle(Engine& engine, const GuestPtr& guest);

// The machine ended of itself: on a thread of its own, with the guest's operation.
void TakeApart(Engine& engine, const GuestPtr& guest) {
  std::shared_ptr<Vmm> vmm;
  bool gone;
  {
    MutexLock lock(guest->mutex);
    vmm = guest->vmm;
    gone = guest->vmm_gone.has_value();
  }
  const std::optional<Error> fault = FaultOf(*guest);
  LOG_INFO("{} ended{}{}", guest->name, fault ? ": " : "", fault ? fault->ToString() : "");
  (void)engine.book.Change(*guest, [](StoredGuest& stored) { stored.guest.set_state(v1::Guest::STOPPING); });
  if (vmm && !gone) {
    control::Request quit;
    quit.mutable_quit();
    (void)vmm->Call(quit, {}, kQuitTimeout);  // However it answers, its process ends now.
  }
  vmm.reset();
  // There is no operation that a client could wait for: it sees the state, and may start the guest at once.
  (void)ReleaseMachine(engine, *guest, fault ? v1::Guest::FAILED : v1::Guest::STOPPED, fault,
                       /*ends_operation=*/true);
  Settle(engine, guest);
}

bool MayBeFrozen(const GuestEntry& guest) REQUIRES(guest.mutex) {
  return guest.stored.guest.file_systems_frozen() && guest.stored.guest.state() == v1::Guest::RUNNING;
}

// Devices left the running machine, or failed, while nobody was doing anything with the guest, or it was left
// frozen: on a thread of its own, with the guest's operation.
void TidyUp(Engine& engine, const GuestPtr& guest) {
  std::set<std::string> unplugged;
  std::map<std::string, std::string> failed;
  bool frozen;
  {
    MutexLock lock(guest->mutex);
    unplugged.swap(guest->unplugged);
    failed.swap(guest->failed);
    frozen = MayBeFrozen(*guest) && guest->thaw_again <= EventLoop::Clock::now();
  }
  for (const auto& [id, why] : failed) {
    const std::string key = ClaimedKey(engine, guest->uid, id);
    if (key.empty()) continue;
    Quarantine(engine, *guest, id, key, Error(Code::kInternal, why).Reason("DEVICE_FAILED"));
  }
  for (const std::string& id : unplugged) {
    const Status released = ReleaseDevice(engine, guest, id, std::nullopt);
    if (!released) LOG_ERROR("{} of {} is not given back: {}", id, guest->name, released.error().ToString());
  }
  if (frozen) (void)ThawFileSystems(engine, *guest);
  EndOperation(engine, guest);
}

// Whether that is to be done now; later, if it failed just now.
bool IsToBeThawed(Engine& engine, const GuestPtr& guest) REQUIRES(guest->mutex) {
  if (!MayBeFrozen(*guest)) return false;
  const auto when = guest->thaw_again;
  if (when <= EventLoop::Clock::now()) return true;
  if (std::exchange(guest->awaits_thaw, true)) return false;
  engine.loop.Post([&engine, guest, when] {
    engine.loop.At(when, [&engine, guest] {
      {
        MutexLock lock(guest->mutex);
        guest->awaits_thaw = false;
      }
      Settle(engine, guest);
    });
  });
  return false;
}

// Does what follows from what has happened while nobody was doing anything with the guest.
void Settle(Engine& engine, const GuestPtr& guest) {
  bool ended;
  {
    MutexLock lock(guest->mutex);
    if (!guest->operation.empty() || !guest->vmm) return;
    ended = HasEnded(*guest);
    if (!ended && guest->unplugged.empty() && guest->failed.empty() && !IsToBeThawed(engine, guest)) return;
    guest->operation = ended || !guest->unplugged.empty() || !guest->failed.empty() ? "release" : "thaw";
  }
  (void)engine.operations.Background(
      [&engine, guest, ended] { ended ? TakeApart(engine, guest) : TidyUp(engine, guest); });
}

// The VMM is not believed to have devices that it was not given.
bool Has(const GuestEntry& guest, const std::string& device_id) REQUIRES(guest.mutex) {
  const auto& devices = guest.stored.guest.claimed_devices();
  return std::any_of(devices.begin(), devices.end(),
                     [&](const v1::ClaimedDevice& device) { return device.id() == device_id; });
}

void OnEvent(Engine& engine, const GuestPtr& guest, uint64_t machine, const control::Event& event) {
  {
    MutexLock lock(guest->mutex);
    if (guest->machines != machine) return;
    const bool stops = guest->stored.guest.spec().on_reset() == v1::STOP;
    if (event.kind() == control::Event::STATE_CHANGED) guest->machine_state = event.state();
    if (event.kind() == control::Event::DEVICE_UNPLUGGED && Has(*guest, event.device_id())) {
      guest->unplugged.insert(event.device_id());
    }
    if (event.kind() == control::Event::DEVICE_FAILED && Has(*guest, event.device_id())) {
      guest->failed.emplace(event.device_id(), event.text());
    }
    if (event.kind() == control::Event::GUEST_RESET && stops) guest->machine_state = control::POWERED_OFF;
    if (event.kind() == control::Event::GUEST_PANICKED && stops) {
      guest->machine_state = control::FAILED;
      guest->fault = Error(Code::kInternal, fmt::format("the guest's kernel panicked {}", event.text()))
                         .Reason("GUEST_PANICKED");
    } else if (guest->machine_state == control::FAILED && !guest->fault) {
      guest->fault = Error(Code::kInternal, fmt::format("the machine cannot go on: {}", event.text()))
                         .Reason("VCPU_FAILED");
    }
    guest->changed.notify_all();
  }
  if (const auto kind = KindFor(event.kind())) {
    v1::Event told = EventOf(guest->Get(), *kind);
    told.set_device(event.device_id());
    told.set_text(event.text());
    engine.events.Publish(std::move(told));
  }
  Settle(engine, guest);
}

void OnGone(Engine& engine, const GuestPtr& guest, uint64_t machine, const Error& why) {
  {
    MutexLock lock(guest->mutex);
    if (guest->machines != machine) return;
    guest->vmm_gone = why;
    guest->changed.notify_all();
  }
  Settle(engine, guest);
}

}  // namespace

std::optional<Error> FaultOf(GuestEntry& guest) {
  MutexLock lock(guest.mutex);
  if (guest.fault) return guest.fault;
  if (guest.machine_state == control::POWERED_OFF || !guest.vmm_gone) return std::nullopt;
  if (guest.vmm_gone->reason() != "VMM_GONE") return guest.vmm_gone;
  return Error(Code::kUnavailable, fmt::format("the VMM ended unexpectedly: {}", guest.vmm_gone->message()))
      .Reason("VMM_DIED");
}

Result<std::shared_ptr<Vmm>> WatchMachine(Engine& engine, const GuestPtr& guest, Vmm::Parts parts) {
  uint64_t machine;
  {
    MutexLock lock(guest->mutex);
    machine = ++guest->machines;
    guest->vmm_gone.reset();
    guest->fault.reset();
    guest->unplugged.clear();
    guest->failed.clear();
    guest->machine_state = control::MACHINE_STATE_UNSPECIFIED;
  }
  const std::weak_ptr<GuestEntry> weak = guest;
  Vmm::Callbacks callbacks;
  callbacks.on_event = [&engine, weak, machine](const control::Event& event) {
    if (const GuestPtr entry = weak.lock()) OnEvent(engine, entry, machine, event);
  };
  callbacks.on_gone = [&engine, weak, machine](const Error& why) {
    if (const GuestPtr entry = weak.lock()) OnGone(engine, entry, machine, why);
  };
  std::shared_ptr<Vmm> vmm = TRY(Vmm::Attach(engine.loop, std::move(parts), std::move(callbacks)));
  MutexLock lock(guest->mutex);
  guest->vmm = vmm;
  return vmm;
}

Status BeginOperation(const GuestPtr& guest, const std::string& verb) {
  MutexLock lock(guest->mutex);
  if (guest->operation.empty()) {
    guest->operation = verb;
    return Ok();
  }
  return Fail(Error(Code::kAborted, fmt::format("{} is busy: {}", guest->name, guest->operation))
                  .Reason("OPERATION_IN_PROGRESS")
                  .With("resource", guest->name)
                  .With("operation", guest->operation));
}

void EndOperation(Engine& engine, const GuestPtr& guest) {
  {
    MutexLock lock(guest->mutex);
    guest->operation.clear();
    guest->changed.notify_all();
  }
  Settle(engine, guest);
}

}  // namespace berth::server

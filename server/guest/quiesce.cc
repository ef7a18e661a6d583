#include "server/guest/quiesce.h"

#include "base/log.h"
#include "server/agent/guest_agent.h"
#include "server/guest/field_error.h"
#include "server/guest/running_vmm.h"

namespace berth::server {
namespace {

using v1::VolumeSnapshot;

Result<GuestAgent> AgentOf(GuestEntry& guest) {
  if (!guest.Get().spec().guest_agent()) {
    return Fail(Error(Code::kFailedPrecondition,
                      fmt::format("{} has no port for an agent: set guest_agent in its spec", guest.name))
                    .Reason("NO_AGENT_PORT")
                    .With("resource", guest.name));
  }
  const std::shared_ptr<Vmm> vmm = guest.GetVmm();
  if (!vmm) return GuestEnding(guest.name);
  return GuestAgent(TRY(vmm->AttachAgent()));
}

Status Record(Engine& engine, GuestEntry& guest, bool frozen) {
  return engine.book.Change(guest,
                            [frozen](StoredGuest& stored) { stored.guest.set_file_systems_frozen(frozen); });
}

// How many file systems are frozen. If it fails none are, or that is on record still.
Result<int64_t> FreezeFileSystems(Engine& engine, GuestEntry& guest) {
  if (guest.Get().file_systems_frozen()) TRY(ThawFileSystems(engine, guest));
  Result<int64_t> frozen = [&]() -> Result<int64_t> {
    GuestAgent agent = TRY(AgentOf(guest));
    TRY(agent.Synchronize(engine.agent_times.synchronize));
    TRY(Record(engine, guest, true));
    return agent.Ask("guest-fsfreeze-freeze", engine.agent_times.freeze);
  }();
  if (frozen) return frozen;
  if (guest.Get().file_systems_frozen()) (void)ThawFileSystems(engine, guest);
  return Fail(std::move(frozen).error().Context(guest.name));
}

}  // namespace

Status CheckQuiesce(VolumeSnapshot::Quiesce quiesce) {
  if (VolumeSnapshot::Quiesce_IsValid(quiesce)) return Ok();
  return BadPath("quiesce", "unknown value {}", int{quiesce});
}

Result<int64_t> ThawFileSystems(Engine& engine, GuestEntry& guest) {
  Result<int64_t> thawed = [&]() -> Result<int64_t> {
    GuestAgent agent = TRY(AgentOf(guest));
    return agent.Insist("guest-fsfreeze-thaw", engine.agent_times.thaw);
  }();
  if (thawed) {
    TRY(Record(engine, guest, false));
    return thawed;
  }
  LOG_WARNING("{}'s file systems may be frozen: {}", guest.name, thawed.error().ToString());
  {
    MutexLock lock(guest.mutex);
    guest.thaw_again = EventLoop::Clock::now() + engine.agent_times.thaw_again;
  }
  v1::Event told = EventOf(guest.Get(), v1::Event::WARNING);
  told.set_text(fmt::format("its file systems may be frozen, and are to be thawed again: {}",
                            thawed.error().message()));
  engine.events.Publish(std::move(told));
  return thawed;
}

Status WhileQuiesced(Engine& engine, GuestEntry& guest, VolumeSnapshot::Quiesce quiesce,
                     OperationProgress& progress, const std::function<Status()>& work) {
  const bool required = quiesce == VolumeSnapshot::REQUIRED;
  if (quiesce == VolumeSnapshot::NEVER || (!required && !guest.Get().spec().guest_agent())) return work();
  const Result<int64_t> frozen = FreezeFileSystems(engine, guest);
  if (!frozen) {
    if (required) return Fail(frozen.error());
    LOG_WARNING("{} is not quiesced: {}", guest.name, frozen.error().ToString());
    progress.ReportQuiesce(false, frozen.error().message());
    return work();
  }
  Status done = work();
  const Result<int64_t> thawed = ThawFileSystems(engine, guest);
  if (!done) return done;
  if (thawed && *thawed == 0 && *frozen > 0) {
    // Some agents do that by themselves, after a time.
    const Error lost =
        Error(Code::kAborted,
              fmt::format("the snapshot is there, but {} had thawed its file systems before it was",
                          guest.name))
            .Reason("QUIESCE_LOST")
            .With("resource", guest.name);
    progress.ReportQuiesce(false, lost.message());
    return required ? Status(Fail(lost)) : Ok();
  }
  progress.ReportQuiesce(true, "");
  return Ok();
}

}  // namespace berth::server

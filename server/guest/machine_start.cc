#include <set>

#include "host/pci_address.h"
#include "proto/guest_name.h"
#include "server/guest/machine.h"
#include "server/guest/open_descriptors.h"
#include "server/guest/placement_check.h"
#include "server/guest/shared_cpus.h"

namespace berth::server {
namespace {

// Building pins and may zero all of a guest's memory.
constexpr std::chrono::minutes kBuildTimeout{10};
constexpr std::chrono::seconds kRunTimeout{60};
constexpr int kMaxIoThreads = 64;
constexpr int kStepsOfOurOwn = 3;  // Open, build, run.

// The VMM's threads are about to be moved and pinned: they must be its own, and as many as there should be.
Status CheckThreads(const Engine& engine, int pid, const control::Built& built, size_t vcpus) {
  if (built.vcpu_tids_size() != static_cast<int>(vcpus))
    return Fail(VmmProtocolError("another number of vCPU threads"));
  if (built.io_tids_size() > kMaxIoThreads) return Fail(VmmProtocolError("too many device threads"));
  std::set<int> seen;
  for (const auto* tids : {&built.vcpu_tids(), &built.io_tids()}) {
    for (int tid : *tids) {
      if (!HasThread(engine.proc, pid, tid) || !seen.insert(tid).second)
        return Fail(VmmProtocolError("a thread that is not its own"));
    }
  }
  return Ok();
}

// The control thread, and whatever the VMM started besides. Of those some may end meanwhile.
Status PlaceOthers(Engine& engine, const host::CgroupChild& place, const std::string& cgroup, int pid,
                   const control::Built& built) {
  std::set<int> placed(built.vcpu_tids().begin(), built.vcpu_tids().end());
  placed.insert(built.io_tids().begin(), built.io_tids().end());
  for (int tid : ThreadsOf(engine.proc, pid)) {
    if (placed.contains(tid)) continue;
    Status moved = engine.host.Place(cgroup, place.name, tid, place.limits.cpus);
    if (!moved && HasThread(engine.proc, pid, tid)) return moved;
  }
  return Ok();
}

Status PlaceThreads(Engine& engine, const LaunchPlan& plan, const std::string& cgroup, int pid,
                    const control::Built& built) {
  for (int i = 0; i < built.vcpu_tids_size(); ++i) {
    const host::CgroupChild& place = plan.vcpu_places[i];
    TRY(engine.host.Place(cgroup, place.name, built.vcpu_tids(i), place.limits.cpus));
  }
  for (int tid : built.io_tids())
    TRY(engine.host.Place(cgroup, plan.io_place.name, tid, plan.io_place.limits.cpus));
  return PlaceOthers(engine, plan.emulator_place, cgroup, pid, built);
}

void ShowMachine(const control::Built& built, int pid, v1::Guest* guest) {
  guest->set_process_id(pid);
  for (int i = 0; i < built.vcpu_tids_size() && i < guest->placement().vcpus_size(); ++i) {
    guest->mutable_placement()->mutable_vcpus(i)->set_thread_id(built.vcpu_tids(i));
  }
  for (const control::DeviceState& state : built.devices()) {
    const auto address = host::PciAddress::Parse(state.guest_address());
    for (auto& device : *guest->mutable_claimed_devices()) {
      if (device.id() == state.id() && address) device.set_guest_address(address->ToString());
    }
  }
}

// A process with the machine's plan before it, on record and in its cgroup before it runs.
Result<std::shared_ptr<Vmm>> StartProcess(Engine& engine, const GuestPtr& guest,
                                          const PreparedStart& prepared, const std::string& cgroup) {
  const v1::Guest shown = guest->Get();
  const std::string runtime_dir = GuestRuntimeDir(engine.settings, shown);
  std::unique_ptr<VmmLog> log = TRY(VmmLog::Open(engine.loop, runtime_dir + "/log", guest->name));
  const UniqueFd log_fd = TRY(log->OpenForWriting());
  ProcessChange process;
  LaunchedVmm launched =
      TRY(Launch({.program = engine.vmm_program,
                  .name = GuestIdOf(guest->name),
                  .uuid = guest->uid,
                  .runtime_dir = runtime_dir,
                  .limits = prepared.plan.limits,
                  .confinement = engine.confinement,
                  .log_fd = log_fd.get()},
                 [&](pid_t pid) -> Status {
                   process = TRY(DescribeProcess(engine.proc, pid));
                   TRY(engine.executor.Run(guest->uid, {ProcessStep{pid}}, [](const Step&) { return Ok(); }));
                   return engine.host.Place(cgroup, "", pid, {});
                 }));
  return WatchMachine(engine, guest,
                      {.process = process,
                       .pidfd = std::move(launched.pidfd),
                       .socket = std::move(launched.socket),
                       .log = std::move(log)});
}

}  // namespace

Status StartMachine(Engine& engine, const GuestPtr& guest, PreparedStart& prepared,
                    OperationProgress& progress) {
  const LaunchPlan& plan = prepared.plan;
  int total = static_cast<int>(plan.steps.size()) + kStepsOfOurOwn, done = 0;
  for (const DevicePlan& device : plan.devices) total += static_cast<int>(device.steps.size());
  const auto begin = [&](const std::string& what) -> Status {
    progress.Report(what, done++, total);
    TRY(progress.CheckNotCancelled());
    return Ok();
  };
  const auto begin_step = [&](const Step& step) {
    return begin(fmt::format("{} {}", KindOf(step), SubjectOf(step)));
  };
  StepResults results = TRY(engine.executor.Run(guest->uid, plan.steps, begin_step));
  for (const DevicePlan& device : plan.devices) {
    TRY(engine.executor.Run(guest->uid, device.steps, begin_step, device.id));
  }

  // Others leave the CPUs that are this guest's own.
  RefitGuests(engine);

  TRY(begin("open files and devices"));
  FindVfs(TRY(engine.host.Snapshot()), &prepared.devices);
  control::Request build;
  *build.mutable_build() = plan.build;
  std::vector<UniqueFd> fds =
      TRY(OpenDescriptors(engine.host, plan.descriptors, results, build.mutable_build()));
  const std::shared_ptr<Vmm> vmm = TRY(StartProcess(engine, guest, prepared, results.cgroup));

  TRY(begin("build the machine"));
  std::vector<int> borrowed;
  for (const UniqueFd& fd : fds) borrowed.push_back(fd.get());
  const control::Reply reply = TRY(vmm->Call(build, borrowed, kBuildTimeout));
  fds.clear();
  TRY(CheckThreads(engine, vmm->process().pid, reply.built(), plan.vcpu_places.size()));
  TRY(PlaceThreads(engine, plan, results.cgroup, vmm->process().pid, reply.built()));

  TRY(begin("run"));
  control::Request subscribe, run;
  subscribe.mutable_subscribe();
  run.mutable_run();
  TRY(vmm->Call(subscribe));
  TRY(vmm->Call(run, {}, kRunTimeout));
  TRY(engine.book.Change(*guest, [&](StoredGuest& stored) {
    ShowPrepared(prepared, &stored.guest);
    ShowMachine(reply.built(), vmm->process().pid, &stored.guest);
    stored.guest.clear_error();
    stored.guest.set_state(v1::Guest::RUNNING);
    stored.creating = false;
  }));
  // And this one leaves what was dedicated to others since it was planned.
  RefitGuests(engine);
  CheckPlacement(engine, *guest);
  return Ok();
}

}  // namespace berth::server

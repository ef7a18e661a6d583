#include "server/autopilot/look.h"

#include <algorithm>
#include <filesystem>

#include "base/bytes.h"
#include "base/log.h"
#include "proto/guest_name.h"
#include "server/guest/resource_policy.h"
#include "server/guest/spec_check.h"
#include "server/placement/host_model.h"

namespace berth::server {
namespace {

constexpr std::chrono::milliseconds kAnswerTime{1000};
constexpr std::chrono::seconds kSilentTime{60};
constexpr size_t kMaxGoneGuests = 256;  // Whose overhead is remembered.

double Seconds(HostLook::Clock::duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

std::string CgroupOf(const host::HostRoots& roots, const std::string& guest) {
  return roots.guests_cgroup + "/" + GuestIdOf(guest);
}

std::string FrozenMark(const Engine& engine, const v1::Guest& guest) {
  return GuestRuntimeDir(engine.settings, guest) + "/frozen";
}

MemoryFacts HostLook::Look(Clock::time_point now, bool merging_is_ours) {
  MemoryFacts facts{.seconds = Seconds(now.time_since_epoch()), .merging_is_ours = merging_is_ours};
  LookAtHost(&facts);
  Measurements::Values values{.overhead = engine_.measurements.Get().overhead};
  std::map<std::string, Known> still;
  cpu_now_ = 0;
  for (const GuestPtr& guest : engine_.book.All()) {
    if (LookAt(guest, now, &facts, &values)) still[guest->name] = std::move(known_[guest->name]);
  }
  known_ = std::move(still);
  total_cpu_.Add(cpu_now_);
  if (engine_.settings.policy.cpu_peak_sigmas > 0) {
    std::map<std::string, CpuHistory> histories;
    for (const auto& [name, known] : known_) histories.emplace(name, known.cpu);
    values.peaks = PredictPeaks(histories, total_cpu_, engine_.settings.policy.cpu_peak_sigmas);
  }
  while (values.overhead.size() > known_.size() + kMaxGoneGuests) {
    values.overhead.erase(std::find_if(values.overhead.begin(), values.overhead.end(),
                                       [&](const auto& one) { return !known_.contains(one.first); }));
  }
  engine_.measurements.Set(std::move(values));
  return facts;
}

// Where all guests together are limited, that is the host.
void HostLook::LookAtHost(MemoryFacts* facts) const {
  const host::MemoryUse use = host::ReadMemoryUse(roots_);
  facts->total_bytes = use.total_bytes;
  facts->available_bytes = use.available_bytes;
  facts->swap_free_bytes = use.swap_free_bytes;
  facts->zswapped_bytes = use.zswapped_bytes;
  facts->zswap_pool_bytes = use.zswap_pool_bytes;
  facts->pressure = use.pressure;
  facts->ksm = host::ReadKsm(roots_);
  facts->nodes = static_cast<int>(std::max<size_t>(host::ReadMemory(roots_).nodes.size(), 1));
  const auto all = host::ReadCgroupMemory(roots_, roots_.guests_cgroup);
  if (!all || !all->limit_bytes || *all->limit_bytes >= use.total_bytes) return;
  const uint64_t left = *all->limit_bytes - std::min(*all->limit_bytes, all->current_bytes - all->file_bytes);
  facts->total_bytes = *all->limit_bytes;
  facts->available_bytes = std::min(left, use.available_bytes);
  if (all->pressure) facts->pressure = all->pressure;
}

bool HostLook::LookAt(const GuestPtr& guest, Clock::time_point now, MemoryFacts* facts,
                      Measurements::Values* values) {
  const v1::Guest shown = guest->Get();
  const auto memory = host::ReadCgroupMemory(roots_, CgroupOf(roots_, guest->name));
  if (shown.state() != v1::Guest::RUNNING || !memory) return false;
  Known& known = known_[guest->name];
  const bool pinned = !CanMerge(shown.spec());
  const GuestPolicy policy = PolicyOf(shown.spec().resource_policy(), engine_.settings.policy.guest_defaults);
  const GuestSize size = SizeOf(shown.spec());
  GuestMemoryFacts fact{
      .guest = guest->name,
      .memory_bytes = size.memory_bytes,
      .reserved_bytes = size.memory_bytes / 100 * static_cast<uint64_t>(policy.memory_reservation_percent),
      .pinned = pinned,
      .mergeable = policy.merge_pages && !pinned,
      .last_resort = policy.last_resort,
      .shares = policy.cpu_shares,
      .swapped_bytes = memory->swapped_bytes,
      .refaulted_pages = memory->refaulted_pages};
  if (policy.memory_limit_percent > 0)
    fact.limit_bytes = size.memory_bytes / 100 * static_cast<uint64_t>(policy.memory_limit_percent);
  fact.resident_bytes =
      std::min(fact.mergeable ? memory->anonymous_bytes : memory->shared_bytes, size.memory_bytes);
  if (memory->pressure) fact.pressure = *memory->pressure;
  std::error_code error;
  fact.frozen = std::filesystem::exists(FrozenMark(engine_, shown), error);
  if (shown.spec().memory().balloon() && !fact.frozen) fact.balloon = AskBalloon(guest, now, &known);
  // What a mergeable guest's monitor has for itself cannot be told from its guest's memory.
  if (!fact.mergeable) {
    const uint64_t kernel = memory->kernel_bytes - std::min(memory->kernel_bytes, memory->page_table_bytes);
    OverheadSample& sample = values->overhead[guest->name];
    sample = {.guest = size,
              .measured_bytes = std::max(sample.measured_bytes, memory->anonymous_bytes + kernel)};
  }
  values->reserved[guest->name] = 10 * policy.cpu_reservation_percent * shown.spec().cpus().vcpu_count();

  v1::GuestUsage usage;
  usage.set_resident_bytes(static_cast<int64_t>(fact.resident_bytes));
  usage.set_swapped_bytes(static_cast<int64_t>(fact.swapped_bytes));
  usage.set_needed_bytes(static_cast<int64_t>(
      fact.balloon ? fact.memory_bytes - std::min(fact.memory_bytes,
                                                  fact.balloon->actual_bytes + fact.balloon->available_bytes)
                   : fact.resident_bytes + fact.swapped_bytes));
  if (fact.balloon) usage.set_balloon_bytes(static_cast<int64_t>(fact.balloon->actual_bytes));
  usage.set_memory_pressure_percent(static_cast<float>(fact.pressure.some.percent));
  usage.set_frozen(fact.frozen);
  LookAtCpu(guest, shown, now, &known, &usage);
  {
    MutexLock lock(guest->mutex);
    if (guest->stored.guest.state() == v1::Guest::RUNNING) guest->usage = usage;
  }
  facts->guests.push_back(std::move(fact));
  return true;
}

std::optional<BalloonFacts> HostLook::AskBalloon(const GuestPtr& guest, Clock::time_point now, Known* known) {
  const std::shared_ptr<Vmm> vmm = guest->GetVmm();
  if (!vmm || now < known->asked_again) return std::nullopt;
  control::Request request;
  request.mutable_read_balloon();
  const Result<control::Reply> reply = vmm->Call(std::move(request), {}, kAnswerTime);
  if (!reply) {
    LOG_WARNING_LIMITED("{} does not tell about its memory: {}", guest->name, reply.error().message());
    known->asked_again = now + kSilentTime;
    return std::nullopt;
  }
  const control::BalloonReport& report = reply->balloon();
  if (report.answers() == 0 || !report.has_available_bytes()) return std::nullopt;
  return BalloonFacts{.target_bytes = report.target_bytes(),
                      .actual_bytes = report.actual_bytes(),
                      .available_bytes = report.available_bytes()};
}

void HostLook::LookAtCpu(const GuestPtr& guest, const v1::Guest& shown, Clock::time_point now, Known* known,
                         v1::GuestUsage* usage) {
  const auto cpu = host::ReadCgroupCpu(roots_, CgroupOf(roots_, guest->name));
  if (!cpu) return;
  uint64_t run_delay_ns = 0;
  for (const v1::VcpuPlacement& vcpu : shown.placement().vcpus())
    run_delay_ns += host::ReadRunDelay(roots_, shown.process_id(), vcpu.thread_id()).value_or(0);
  const double elapsed = Seconds(now - known->looked);
  if (known->looked != Clock::time_point() && elapsed > 0 && cpu->used_us >= known->cpu_us) {
    const int millicpus = static_cast<int>(static_cast<double>(cpu->used_us - known->cpu_us) / elapsed / 1e3);
    known->cpu.Add(millicpus);
    cpu_now_ += millicpus;
    usage->set_millicpus(millicpus);
    const double waited =
        static_cast<double>(run_delay_ns - std::min(run_delay_ns, known->run_delay_ns)) / 1e9;
    usage->set_steal_percent(
        static_cast<float>(100 * waited / elapsed / std::max(shown.placement().vcpus_size(), 1)));
  }
  if (cpu->pressure) usage->set_cpu_pressure_percent(static_cast<float>(cpu->pressure->some.percent));
  known->cpu_us = cpu->used_us;
  known->run_delay_ns = run_delay_ns;
  known->looked = now;
}

}  // namespace berth::server

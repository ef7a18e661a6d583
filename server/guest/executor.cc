#include "server/guest/executor.h"

#include <algorithm>

#include "base/log.h"
#include "server/trace.h"

namespace berth::server {

Result<std::vector<UniqueFd>> StepExecutor::Do(StoredStep& stored, const Step& step) {
  const PlannedStep planned = TRY(host_.Plan(step));
  std::optional<StoredStep> other;
  if (IsShared(stored.kind)) other = TRY(table_.SharedWith(stored));
  // What was before is what was before the first of those who share the change.
  stored.record = other ? other->record : planned.record;
  TRY(table_.Insert(stored));
  return host_.Apply(planned);
}

Result<StepResults> StepExecutor::Run(const std::string& guest_uid, const std::vector<Step>& steps,
                                      const std::function<Status(const Step&)>& before,
                                      const std::string& device_id) {
  StepResults results;
  const std::vector<StoredStep> earlier = TRY(table_.ListOf(guest_uid));
  int64_t sequence = earlier.empty() ? 0 : earlier.back().sequence + 1;
  for (const Step& step : steps) {
    TRY(before(step));
    StoredStep stored{.guest_uid = guest_uid,
                      .sequence = sequence++,
                      .kind = KindOf(step),
                      .subject = SubjectOf(step),
                      .record = {},
                      .device_id = device_id};
    trace::step_run(guest_uid, stored.sequence, stored.kind, stored.subject);
    std::optional<MutexLock> lock;
    if (IsShared(stored.kind)) lock.emplace(shared_);
    std::vector<UniqueFd> queues = TRY(Do(stored, step));
    if (stored.kind == "tap") results.taps.emplace(stored.subject, std::move(queues));
    if (stored.kind == "cgroup") results.cgroup = stored.record;
  }
  return results;
}

Status StepExecutor::UndoOne(const StoredStep& step) {
  std::optional<MutexLock> lock;
  if (IsShared(step.kind)) lock.emplace(shared_);
  if (IsShared(step.kind) && TRY(table_.SharedWith(step)))
    return table_.Remove(step.guest_uid, step.sequence);
  TRY(host_.Undo({.kind = step.kind, .record = step.record}));
  return table_.Remove(step.guest_uid, step.sequence);
}

Status StepExecutor::Undo(const std::string& guest_uid) { return UndoAll(TRY(table_.ListOf(guest_uid))); }

Status StepExecutor::UndoDevice(const std::string& guest_uid, const std::string& device_id) {
  std::vector<StoredStep> steps = TRY(table_.ListOf(guest_uid));
  std::erase_if(steps, [&](const StoredStep& step) { return step.device_id != device_id; });
  return UndoAll(steps);
}

Status StepExecutor::UndoAll(std::vector<StoredStep> steps) {
  // The process goes first, also before devices that came to it while it ran: it has them open.
  std::stable_partition(steps.begin(), steps.end(),
                        [](const StoredStep& step) { return step.kind != "process"; });
  Status result = Ok();
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    Status undone = UndoOne(*step);
    trace::step_undone(step->guest_uid, step->sequence, step->kind, undone.has_value());
    if (undone) continue;
    LOG_ERROR("cannot undo {} of {}: {}", step->kind, step->subject, undone.error().ToString());
    if (result) {
      result = Fail(
          std::move(undone).error().Context(fmt::format("put back {} of {}", step->kind, step->subject)));
    }
  }
  return result;
}

Result<std::string> StepExecutor::RecordOf(const std::string& guest_uid, const std::string& kind) {
  for (const StoredStep& step : TRY(table_.ListOf(guest_uid))) {
    if (step.kind == kind) return step.record;
  }
  return Fail(Error(Code::kNotFound, fmt::format("no {} of it is on record", kind)).Reason("STEP_NOT_FOUND"));
}

Result<bool> StepExecutor::IsClean(const std::string& guest_uid) {
  return TRY(table_.ListOf(guest_uid)).empty();
}

}  // namespace berth::server

// Does a plan's steps and undoes them, so that a crash between any two leaves nothing behind that the next
// start of the daemon does not find.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "server/guest/host_effects.h"
#include "server/guest/step.h"
#include "server/store/step_table.h"

namespace berth::server {

// What the steps left in our hands.
struct StepResults {
  std::map<std::string, std::vector<UniqueFd>> taps;  // Queues, by the step's owner.
  std::string cgroup;                                 // The record of the cgroup's step.
};

// Any thread; one run or undo at a time for each guest. Borrows both.
class StepExecutor {
 public:
  StepExecutor(HostEffects& host, StepTable& table) : host_(host), table_(table) {}

  // Does the steps in order, after those already on record, each recorded before it is done. `before` is told
  // of each step and may end the run with an error. On failure what was done stays, for Undo. `device_id`
  // names the assigned device that they are for, so that they can be undone without the others.
  Result<StepResults> Run(const std::string& guest_uid, const std::vector<Step>& steps,
                          const std::function<Status(const Step&)>& before,
                          const std::string& device_id = "");

  // Undoes every recorded step of the guest, the last first, but the process before all others. One that
  // cannot be undone is kept on record and does not keep the others; the first such error comes back.
  Status Undo(const std::string& guest_uid);
  // The same for the steps of one of its devices.
  Status UndoDevice(const std::string& guest_uid, const std::string& device_id);

  // The record of the guest's step of this kind. NOT_FOUND, STEP_NOT_FOUND.
  Result<std::string> RecordOf(const std::string& guest_uid, const std::string& kind);
  // Whether there is nothing to undo.
  Result<bool> IsClean(const std::string& guest_uid);

 private:
  Result<std::vector<UniqueFd>> Do(StoredStep& stored, const Step& step);
  Status UndoAll(std::vector<StoredStep> steps);
  Status UndoOne(const StoredStep& step);

  HostEffects& host_;
  StepTable& table_;
  // Held while a shared change is planned, recorded and made or unmade: its users must agree on what was
  // before.
  Mutex shared_;
};

}  // namespace berth::server

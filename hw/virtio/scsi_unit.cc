#include "hw/virtio/scsi_unit.h"

#include <algorithm>
#include <utility>

#include "hw/virtio/scsi_inquiry.h"

namespace berth::hw {
namespace {

using enum ScsiOperation;

// Commands that a drive refuses while it is open.
bool NeedsMedium(ScsiOperation operation) {
  switch (operation) {
    case kRead:
    case kReadCapacity10:
    case kReadDiscInformation:
    case kReadToc:
    case kSynchronizeCache:
    case kTestUnitReady:
    case kVerify:
      return true;
    default:
      return false;
  }
}

}  // namespace

ScsiUnit::Step ScsiUnit::Begin(ScsiTask* task) {
  if (TellAttention(task)) return Step::kDone;
  const ScsiResult<ScsiCommand> command = ParseCdb(facts_.command_sets(), task->cdb());
  if (!command) return Fail(task, command.error());
  task->command = *command;
  if (drive_.open && NeedsMedium(command->operation)) return Fail(task, sense::kTrayOpen);
  switch (command->operation) {
    case kRead:
    case kWrite:
    case kVerify:
    case kSynchronizeCache:
    case kWriteSame:
    case kUnmap:
      return StartBlocks(task);
    default:
      return Answer(task);
  }
}

ScsiUnit::Step ScsiUnit::Fail(ScsiTask* task, const ScsiSense& why) {
  task->Fail(why);
  return Step::kDone;
}

// SAM-5, 5.14, and MMC-6, 4.1.6: told by CHECK CONDITION to whatever comes next, but for INQUIRY, GET
// CONFIGURATION and GET EVENT STATUS NOTIFICATION, and REQUEST SENSE, whose data it is.
bool ScsiUnit::TellAttention(ScsiTask* task) {
  constexpr uint8_t kNotTold[] = {0x03, 0x12, 0x46, 0x4a};
  const uint8_t code = task->cdb()[0];
  const bool told = std::find(std::begin(kNotTold), std::end(kNotTold), code) == std::end(kNotTold);
  if (attentions_.empty() || !told) return false;
  task->Fail(attentions_.front());
  attentions_.erase(attentions_.begin());
  return true;
}

void ScsiUnit::RaiseAttention(const ScsiSense& what) {
  if (std::find(attentions_.begin(), attentions_.end(), what) == attentions_.end())
    attentions_.push_back(what);
}

ScsiUnit::Step ScsiUnit::Answer(ScsiTask* task) {
  const ScsiResult<Data> data = DataOf(task->command);
  if (!data) return Fail(task, data.error());
  // READ CAPACITY (10) has no allocation length.
  const bool has_limit = task->command.operation != kReadCapacity10;
  task->Answer(*data, has_limit ? task->command.count : data->size());
  return Step::kDone;
}

ScsiResult<ScsiUnit::Data> ScsiUnit::DataOf(const ScsiCommand& command) {
  constexpr uint8_t kPrevent = 1;
  switch (command.operation) {
    case kGetConfiguration:
      return GetConfiguration(facts_, drive_, command);
    case kGetEventStatusNotification:
      return GetEventStatusNotification(&drive_, command);
    case kInquiry:
      return Inquiry(facts_, command);
    case kMechanismStatus:
      return MechanismStatus(drive_);
    case kModeSense6:
    case kModeSense10:
      return ModeSense(facts_, command);
    case kPreventAllowMediumRemoval:
      drive_.locked = (command.cdb[4] & kPrevent) != 0;
      return Data();
    case kReadCapacity10:
      return ReadCapacity10(facts_);
    case kReadCapacity16:
      return ReadCapacity16(facts_);
    case kReadDiscInformation:
      return ReadDiscInformation(command);
    case kReadToc:
      return ReadToc(facts_, command);
    case kReportSupportedOperationCodes:
      return ReportOperationCodes(facts_.command_sets(), command);
    case kRequestSense: {
      const ScsiSense told = attentions_.empty() ? sense::kNone : attentions_.front();
      if (!attentions_.empty()) attentions_.erase(attentions_.begin());
      const auto fixed = FixedSense(told);
      return Data(fixed.begin(), fixed.end());
    }
    case kStartStopUnit: {
      // A disk always turns.
      if (facts_.kind == ScsiUnitKind::kDisk) return Data();
      const ScsiResult<bool> loaded = drive_.StartStop(command);
      if (!loaded) return tl::make_unexpected(loaded.error());
      if (*loaded) RaiseAttention(sense::kMediumChanged);
      return Data();
    }
    default:  // TEST UNIT READY; REPORT LUNS is the target's.
      return Data();
  }
}

void ScsiUnit::SubmitBatch() {
  if (submitting_) return;
  submitting_ = true;
  while (!batch_.empty()) node_->Submit(std::exchange(batch_, {}));
  submitting_ = false;
}

void ScsiUnit::Restart() {
  drive_ = {};
  attentions_ = {sense::kPowerOn};
}

// SPC-4, 5.14.6: locks go with it; a drive that is open stays open.
void ScsiUnit::ResetByFunction() {
  drive_.locked = false;
  RaiseAttention(sense::kResetByFunction);
}

Result<bool> ScsiUnit::Grow(uint64_t size_bytes) {
  TRY(node_->Grow(size_bytes));
  const uint64_t blocks = node_->size_bytes() / facts_.block_size_bytes;
  if (std::exchange(facts_.blocks, std::max(facts_.blocks, blocks)) >= blocks) return false;
  RaiseAttention(sense::kCapacityChanged);
  return true;
}

void ScsiUnit::Count(const ScsiTask& task) {
  if (task.response() != ScsiResponse::kOk || task.status() != ScsiStatus::kGood)
    return counters_.errors.Add();
  switch (task.command.operation) {
    case kRead:
      counters_.reads.Add();
      return counters_.read_bytes.Add(uint64_t{task.command.count} * facts_.block_size_bytes);
    case kWrite:
      counters_.writes.Add();
      return counters_.written_bytes.Add(uint64_t{task.command.count} * facts_.block_size_bytes);
    case kSynchronizeCache:
      return counters_.flushes.Add();
    case kUnmap:
      return counters_.discards.Add();
    default:
      return counters_.other.Add();
  }
}

std::vector<NamedCounter> ScsiUnit::counters() const {
  return {{"reads", &counters_.reads},          {"read_bytes", &counters_.read_bytes},
          {"writes", &counters_.writes},        {"written_bytes", &counters_.written_bytes},
          {"flushes", &counters_.flushes},      {"discards", &counters_.discards},
          {"other_requests", &counters_.other}, {"errors", &counters_.errors}};
}

}  // namespace berth::hw

// One logical unit: carries out commands over a block node.
//
// Threads: the device's loop, or while no thread runs it; counters may be read from any.
#pragma once

#include <memory>
#include <vector>

#include "base/counter.h"
#include "hw/virtio/scsi_cdrom.h"
#include "hw/virtio/scsi_facts.h"
#include "hw/virtio/scsi_task.h"

namespace berth::hw {

class ScsiUnit {
 public:
  ScsiUnit(ScsiFacts facts, std::shared_ptr<block::BlockNode> node)
      : facts_(std::move(facts)), node_(std::move(node)) {
    Restart();
  }

  enum class Step {
    kSubmit,  // To the node, as it is; then Next.
    kDone,    // Answer the driver.
  };
  // Takes a task that has begun.
  Step Begin(ScsiTask* task);
  // After the node's completion.
  Step Next(ScsiTask* task);
  void Count(const ScsiTask& task);

  // Tasks for the node are collected, and given to it together. What is added while that is done, as by
  // completions, is given to it after that, however often.
  void Add(ScsiTask* task) { batch_.PushBack(task); }
  void SubmitBatch();
  void Drain() { node_->Drain(); }

  // The state after power-on.
  void Restart();
  // LOGICAL UNIT RESET. What is in flight is the caller's.
  void ResetByFunction();
  // BlockNode::Grow's errors; whether the guest sees a larger disk, of which it is told by its next command.
  Result<bool> Grow(uint64_t size_bytes);

  const ScsiFacts& facts() const { return facts_; }
  std::vector<NamedCounter> counters() const;

 private:
  struct Counters {
    Counter reads, writes, flushes, discards, other, read_bytes, written_bytes, errors;
  };
  using Data = std::vector<uint8_t>;

  bool TellAttention(ScsiTask* task);
  void RaiseAttention(const ScsiSense& what);
  Step Answer(ScsiTask* task);
  ScsiResult<Data> DataOf(const ScsiCommand& command);
  Step Fail(ScsiTask* task, const ScsiSense& why);

  // scsi_blocks.cc: commands that go to the node.
  Step StartBlocks(ScsiTask* task);
  Step Transfer(ScsiTask* task);
  Step Flush(ScsiTask* task);
  Step WriteSame(ScsiTask* task);
  Step Unmap(ScsiTask* task);
  Step NextRange(ScsiTask* task);
  bool HasBlocks(uint64_t block, uint64_t count) const;

  ScsiFacts facts_;
  const std::shared_ptr<block::BlockNode> node_;
  block::List<block::Request> batch_;
  bool submitting_ = false;
  CdRomDrive drive_;
  std::vector<ScsiSense> attentions_;  // Each once, oldest first.
  Counters counters_;
};

}  // namespace berth::hw

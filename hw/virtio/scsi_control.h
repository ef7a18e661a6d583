// The control queue: task management, and asynchronous notification. VIRTIO 1.2 section 5.6.6.2.
//
// A function that ends tasks is answered when the last of them has been. One is carried out at a time, so
// that what waits is bounded.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "hw/virtio/device.h"
#include "hw/virtio/scsi_target.h"
#include "hw/virtio/scsi_unit.h"

namespace berth::hw {

// The tasks that the nodes have.
class ScsiTasks {
 public:
  void Add(ScsiTask* task);
  void Remove(ScsiTask* task);
  const std::vector<ScsiTask*>& all() const { return tasks_; }

 private:
  std::vector<ScsiTask*> tasks_;  // Each knows its place.
};

class ScsiControl {
 public:
  using Units = std::vector<std::unique_ptr<ScsiUnit>>;

  // Watches the doorbell of the control queue, if the driver enabled it. All of it outlives this.
  static Result<std::unique_ptr<ScsiControl>> Start(const VirtioActivation& activation, unsigned queue,
                                                    const Units* units, const ScsiTasks* tasks);
  ~ScsiControl();

  // A revoked task has been answered.
  void TaskEnded();

 private:
  ScsiControl(const VirtioActivation& activation, VirtQueue* queue, const Units* units,
              const ScsiTasks* tasks)
      : memory_(*activation.memory),
        loop_(*activation.loop),
        transport_(*activation.transport),
        queue_(*queue),
        units_(*units),
        tasks_(*tasks) {}

  // Of one unit, or of all; one, or all.
  struct Which {
    std::optional<uint32_t> lun;
    std::optional<uint64_t> id;
    bool Fits(const ScsiTask& task) const;
  };

  void Serve();
  bool Take();
  // Each returns the response, or nothing if it is to wait for tasks.
  std::optional<ScsiResponse> CarryOut();
  std::optional<ScsiResponse> Manage();
  std::optional<ScsiResponse> End(const Which& which, ScsiResponse response);
  ScsiResponse Query(const Which& which) const;
  ScsiResponse Notify();
  void Finish(ScsiResponse response);

  const GuestMemory& memory_;
  EventLoop& loop_;
  VirtioTransport& transport_;
  VirtQueue& queue_;
  const Units& units_;
  const ScsiTasks& tasks_;
  DescriptorChain chain_;     // Of the function that is carried out,
  size_t response_at_ = 0;    // where in its writable part the response is,
  size_t awaited_tasks_ = 0;  // and how many tasks it waits for.
  bool broken_ = false;
};

}  // namespace berth::hw

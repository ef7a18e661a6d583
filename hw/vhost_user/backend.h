// A virtio device served to a front-end over the vhost-user protocol: the transport, in place of PCI.
//
// Rings are started and stopped one by one, memory comes and goes; devices know neither. So whatever changes
// of that, the device is reset, which ends all it has taken, and activated with what there is then; each ring
// goes on where it was.
//
// Threads: the loop's.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "hw/vhost_user/channel.h"
#include "hw/vhost_user/memory_table.h"
#include "hw/virtio/device.h"

namespace berth::hw {

class VhostUserBackend final : public VirtioTransport {
 public:
  // Serves `device`, which lives on `loop`, to who is at the other end of `socket`. Both outlive this.
  // `ended` is called from the loop when that is over, with UNAVAILABLE if the front-end has closed, and may
  // destroy this.
  static Result<std::unique_ptr<VhostUserBackend>> Create(EventLoop* loop, UniqueFd socket,
                                                          VirtioDevice* device,
                                                          std::function<void(const Status& why)> ended);
  ~VhostUserBackend();

  void ConfigChanged() override {}  // There is no channel for that: the front-end reads it when it begins.
  void NeedsReset(std::string_view why) override;

 private:
  struct Ring {
    // What interrupts is exchanged under a running ring: the number stays, and what it stands for changes.
    UniqueFd call, kick, error;
    VhostUserVringAddr addresses;
    uint16_t size = 0;
    uint16_t next = 0;  // Where it goes on: the index of the next available entry.
    bool started = false, enabled = false;
    std::unique_ptr<VirtQueue> queue;  // While the device has it.
  };
  using Bytes = std::vector<uint8_t>;
  enum class Answer { kAcknowledge, kReply };

  VhostUserBackend(EventLoop* loop, UniqueFd socket, VirtioDevice* device,
                   std::function<void(const Status&)> ended);
  void Receive();
  Status Take(VhostUserMessage message);
  // Carries a message out; with kReply its reply is in `reply_`.
  Result<Answer> Carry(VhostUserMessage* message);
  Answer ReplyWith(uint64_t value);

  Status SetFeatures(const VhostUserMessage& message);
  Status SetMemTable(VhostUserMessage* message);
  Status ChangeMemory(VhostUserMessage* message);
  Status SetVring(const VhostUserMessage& message);
  Status SetVringAddr(const VhostUserMessage& message);
  Status SetVringFd(VhostUserMessage* message);
  Result<Answer> GetVringBase(const VhostUserMessage& message);
  Result<Answer> GetConfig(const VhostUserMessage& message);
  Status SetConfig(const VhostUserMessage& message);
  Result<Ring*> RingOf(uint64_t index);

  void Stop();
  Status Start();
  Status Restart();
  Status CreateQueue(Ring* ring);
  bool Runs(const Ring& ring) const;

  EventLoop& loop_;
  VhostUserChannel channel_;
  VirtioDevice& device_;
  const std::function<void(const Status&)> ended_;
  const uint64_t offered_;
  uint64_t features_ = 0, protocol_features_ = 0;
  VhostUserMemoryTable table_;
  std::unique_ptr<GuestMemory> memory_;
  std::vector<Ring> rings_;
  std::vector<VirtQueue*> queues_;
  // What the front-end last wrote into the device's configuration, which a reset forgets.
  uint32_t config_offset_ = 0;
  Bytes config_;
  Bytes reply_;
  bool active_ = false;
};

}  // namespace berth::hw

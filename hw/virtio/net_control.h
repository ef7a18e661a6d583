// The commands of virtio-net's control queue: VIRTIO 1.2 section 5.1.6.5.
#pragma once

#include <cstdint>
#include <span>

#include "hw/virtio/net_filter.h"
#include "hw/virtio/queue.h"

namespace berth::hw {

// What commands do to the rest of the device. False: the host refused.
class NetControlTarget {
 public:
  virtual ~NetControlTarget() = default;
  virtual bool SetMacAddress(const MacAddress& mac) = 0;
  // `pairs` is 1 to the device's most.
  virtual bool SetQueuePairs(uint16_t pairs) = 0;
  // Some of kNetGuestOffloads, all of which were negotiated.
  virtual bool SetGuestOffloads(uint64_t offloads) = 0;
  virtual bool AcknowledgeAnnouncement() = 0;
};

struct NetControl {
  uint64_t features = 0;  // As negotiated.
  uint16_t max_queue_pairs = 1;
  ReceiveFilter* filter = nullptr;
  NetControlTarget* target = nullptr;

  // Carries out the command in `chain`, all of which is the driver's, and writes its acknowledgement. Returns
  // what VirtQueue::Push wants to know; an error if there is no room for an acknowledgement.
  Result<uint32_t> Execute(const GuestMemory& memory, const DescriptorChain& chain);

 private:
  bool Command(uint8_t command_class, uint8_t command, std::span<const uint8_t> data);
  bool SetReceiveMode(uint8_t command, std::span<const uint8_t> data);
  bool SetAddressTable(std::span<const uint8_t> data);
  bool SetVlan(bool wanted, std::span<const uint8_t> data);
};

}  // namespace berth::hw

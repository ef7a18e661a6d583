#include "hw/virtio/net_control.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "hw/virtio/chain.h"
#include "hw/virtio/trace.h"

namespace berth::hw {
namespace {

enum CommandClass : uint8_t {
  kRx = 0,
  kMac = 1,
  kVlan = 2,
  kAnnounce = 3,
  kMultiQueue = 4,
  kGuestOffloads = 5
};
enum RxCommand : uint8_t {
  kPromiscuous = 0,
  kAllMulticast = 1,
  kAllUnicast = 2,
  kNoMulticast = 3,
  kNoUnicast = 4,
  kNoBroadcast = 5
};
constexpr uint8_t kMacTableSet = 0, kMacAddressSet = 1, kVlanAdd = 0, kVlanDelete = 1;
constexpr uint8_t kOk = 0, kError = 1;

constexpr size_t kHeaderSize = 2;
// A table of more addresses than the filter keeps is read up to here, to be counted.
constexpr size_t kMaxCommandBytes = 64 * 1024;

// The addresses at the front of `data`: a count of 32 bits, and as many. Takes them off; false if they are
// cut short.
bool TakeTable(std::span<const uint8_t>* data, std::vector<MacAddress>* table, bool* overflow) {
  if (data->size() < sizeof(uint32_t)) return false;
  const uint64_t count = LoadLe<uint32_t>(data->data());
  *data = data->subspan(sizeof(uint32_t));
  if (count * sizeof(MacAddress) > data->size()) return false;
  table->clear();
  *overflow = count > kMaxFilterAddresses;
  if (!*overflow) {
    table->resize(count);
    for (size_t i = 0; i < count; ++i)
      std::copy_n(data->data() + i * sizeof(MacAddress), 6, (*table)[i].begin());
  }
  *data = data->subspan(count * sizeof(MacAddress));
  return true;
}

}  // namespace

Result<uint32_t> NetControl::Execute(const GuestMemory& memory, const DescriptorChain& chain) {
  const uint64_t writable = chain.writable_bytes();
  if (writable == 0) return Fail(Code::kInvalidArgument, "a command without room for its acknowledgement");
  // One copy: what is checked is what is carried out.
  const uint64_t size = chain.readable_bytes();
  std::vector<uint8_t> bytes(std::min<uint64_t>(size, kMaxCommandBytes));
  bool done = false;
  if (size >= kHeaderSize && size <= kMaxCommandBytes && ReadChain(memory, chain.readable, 0, bytes)) {
    done = Command(bytes[0], bytes[1], std::span(bytes).subspan(kHeaderSize));
    trace::virtio_net_control(bytes[0], bytes[1], size, done);
  }
  const uint8_t acknowledgement = done ? kOk : kError;
  if (!WriteChain(memory, chain.writable, writable - 1, {&acknowledgement, 1})) {
    return Fail(Code::kInvalidArgument, "a command whose acknowledgement is not in RAM");
  }
  return writable == 1 ? 1 : 0;
}

bool NetControl::Command(uint8_t command_class, uint8_t command, std::span<const uint8_t> data) {
  switch (command_class) {
    case kRx:
      return SetReceiveMode(command, data);
    case kMac:
      if (command == kMacTableSet) return (features & kNetCtrlRx) && SetAddressTable(data);
      if (command == kMacAddressSet && (features & kNetCtrlMacAddress) && data.size() == sizeof(MacAddress)) {
        std::copy(data.begin(), data.end(), filter->mac.begin());
        return target->SetMacAddress(filter->mac);
      }
      return false;
    case kVlan:
      return (features & kNetCtrlVlan) && (command == kVlanAdd || command == kVlanDelete) &&
             SetVlan(command == kVlanAdd, data);
    case kAnnounce:
      return (features & kNetAnnounce) && command == 0 && target->AcknowledgeAnnouncement();
    case kMultiQueue: {
      if (!(features & kNetMultiQueue) || command != 0 || data.size() != sizeof(uint16_t)) return false;
      const auto pairs = LoadLe<uint16_t>(data.data());
      return pairs >= 1 && pairs <= max_queue_pairs && target->SetQueuePairs(pairs);
    }
    case kGuestOffloads: {
      if (!(features & kNetCtrlGuestOffloads) || command != 0 || data.size() != sizeof(uint64_t))
        return false;
      const auto offloads = LoadLe<uint64_t>(data.data());
      return (offloads & ~(features & kNetGuestOffloads)) == 0 && target->SetGuestOffloads(offloads);
    }
    default:
      return false;
  }
}

bool NetControl::SetReceiveMode(uint8_t command, std::span<const uint8_t> data) {
  bool* const modes[] = {&filter->promiscuous,  &filter->all_multicast, &filter->all_unicast,
                         &filter->no_multicast, &filter->no_unicast,    &filter->no_broadcast};
  if (command >= std::size(modes) || data.size() != 1) return false;
  if (!(features & (command <= kAllMulticast ? kNetCtrlRx : kNetCtrlRxExtra))) return false;
  *modes[command] = data[0] != 0;
  return true;
}

// Both tables are replaced, or neither.
bool NetControl::SetAddressTable(std::span<const uint8_t> data) {
  ReceiveFilter changed;
  if (!TakeTable(&data, &changed.unicast, &changed.unicast_overflow) ||
      !TakeTable(&data, &changed.multicast, &changed.multicast_overflow) || !data.empty()) {
    return false;
  }
  filter->unicast = std::move(changed.unicast);
  filter->multicast = std::move(changed.multicast);
  filter->unicast_overflow = changed.unicast_overflow;
  filter->multicast_overflow = changed.multicast_overflow;
  return true;
}

bool NetControl::SetVlan(bool wanted, std::span<const uint8_t> data) {
  if (data.size() != sizeof(uint16_t)) return false;
  const auto vlan = LoadLe<uint16_t>(data.data());
  if (vlan >= filter->vlans.size()) return false;
  filter->vlans[vlan] = wanted;
  return true;
}

}  // namespace berth::hw

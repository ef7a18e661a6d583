// A port of a NIC whose other end the test holds: what the NIC sends can be taken there, and what is put
// there the NIC receives.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "net/packet_queue.h"

namespace berth::net {

class FakePort final : public PacketQueue {
 public:
  FakePort();

  int fd() const override { return fd_.get(); }
  ssize_t Receive(std::span<const iovec> pieces) override;
  ssize_t Send(std::span<const iovec> pieces) override;
  Status SetOffloads(const Offloads& new_offloads) override;
  Status SetEnabled(bool new_enabled) override;

  // Packets with their headers.
  void Put(std::string_view packet);
  // False if there is no room for it.
  bool TryPut(std::string_view packet);
  std::optional<std::string> Take();
  // Nothing arrives or leaves any more, as of a tap that was deleted.
  void Close() { peer_.Reset(); }

  Offloads offloads;
  bool enabled = true;
  bool refuse_enable = false;
  // Send has no room for a packet for so many times (though the descriptor is writable); then this error,
  // once.
  int full = 0;
  int send_error = 0;

 private:
  UniqueFd fd_, peer_;
};

}  // namespace berth::net

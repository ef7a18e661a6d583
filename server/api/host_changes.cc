#include "server/api/host_changes.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "host/uevent.h"

namespace berth::server {
namespace {

constexpr std::array<std::string_view, 3> kSubsystems = {"pci", "mdev", "net"};

}  // namespace

HostChanges::HostChanges(EventLoop* loop, HostEffects& host) : loop_(loop) {
  Result<UniqueFd> socket = host.ListenForChanges();
  Status watched = Ok();
  if (socket) {
    socket_ = *std::move(socket);
    loop_->Call([&] { watched = loop_->Watch(socket_.get(), EPOLLIN, [this](uint32_t) { Hear(); }); });
  } else {
    watched = Fail(std::move(socket).error());
  }
  if (watched) return;
  LOG_WARNING("devices are looked at again and again: {}", watched.error().message());
  socket_ = UniqueFd();
}

HostChanges::~HostChanges() {
  if (socket_) loop_->Call([this] { loop_->Unwatch(socket_.get()); });
}

uint64_t HostChanges::count() { return socket_ ? count_.load() : ++count_; }

void HostChanges::Hear() {
  while (true) {
    const auto event = host::ReceiveUevent(socket_.get());
    if (event && !*event) return;
    if (!event) {
      ++count_;  // What is lost may have been a change.
      if (event.error().reason() == "UEVENTS_LOST") continue;
      LOG_WARNING_LIMITED("{}", event.error().message());
      return;
    }
    if (std::find(kSubsystems.begin(), kSubsystems.end(), (*event)->subsystem) != kSubsystems.end()) ++count_;
  }
}

}  // namespace berth::server

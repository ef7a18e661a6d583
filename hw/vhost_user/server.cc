#include "hw/vhost_user/server.h"

#include <sys/socket.h>

#include "base/log.h"

namespace berth::hw {

Result<std::unique_ptr<VhostUserServer>> VhostUserServer::Create(EventLoop* loop, UniqueFd listener,
                                                                 VirtioDevice* device,
                                                                 std::function<void()> left) {
  std::unique_ptr<VhostUserServer> server(
      new VhostUserServer(loop, std::move(listener), device, std::move(left)));
  TRY(loop->Watch(server->listener_.get(), EPOLLIN, [raw = server.get()](uint32_t) { raw->Accept(); }));
  return server;
}

VhostUserServer::~VhostUserServer() { loop_.Unwatch(listener_.get()); }

void VhostUserServer::Accept() {
  UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) return;
  auto backend = VhostUserBackend::Create(&loop_, std::move(socket), &device_,
                                          [this](const Status& why) { Ended(why); });
  if (!backend) {
    LOG_ERROR("vhost-user: {}", backend.error().message());
    return;
  }
  backend_ = std::move(*backend);
  (void)loop_.Rewatch(listener_.get(), 0);
}

void VhostUserServer::Ended(const Status& why) {
  if (!why && why.error().code() != Code::kUnavailable)
    LOG_ERROR("vhost-user: the front-end is served no more: {}", why.error().message());
  backend_.reset();
  (void)loop_.Rewatch(listener_.get(), EPOLLIN);
  left_();
}

}  // namespace berth::hw

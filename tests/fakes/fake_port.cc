#include "tests/fakes/fake_port.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

namespace berth::net {

FakePort::FakePort() {
  int pair[2];
  CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
  fd_.Reset(pair[0]);
  peer_.Reset(pair[1]);
}

ssize_t FakePort::Receive(std::span<const iovec> pieces) {
  const ssize_t size = ::readv(fd_.get(), pieces.data(), static_cast<int>(pieces.size()));
  return size < 0 ? -errno : size;
}

ssize_t FakePort::Send(std::span<const iovec> pieces) {
  if (full > 0) return --full, -EAGAIN;
  if (send_error != 0) return -std::exchange(send_error, 0);
  const ssize_t size = ::writev(fd_.get(), pieces.data(), static_cast<int>(pieces.size()));
  return size < 0 ? -errno : size;
}

Status FakePort::SetOffloads(const Offloads& new_offloads) {
  offloads = new_offloads;
  return Ok();
}

Status FakePort::SetEnabled(bool new_enabled) {
  if (refuse_enable && new_enabled) return Fail(Code::kInternal, "the fake port refuses");
  enabled = new_enabled;
  return Ok();
}

void FakePort::Put(std::string_view packet) { CHECK(TryPut(packet)); }

bool FakePort::TryPut(std::string_view packet) {
  return ::write(peer_.get(), packet.data(), packet.size()) == static_cast<ssize_t>(packet.size());
}

std::optional<std::string> FakePort::Take() {
  static thread_local std::string packet(128 * 1024, '\0');
  const ssize_t size = ::read(peer_.get(), packet.data(), packet.size());
  if (size < 0) return std::nullopt;
  return packet.substr(0, static_cast<size_t>(size));
}

}  // namespace berth::net

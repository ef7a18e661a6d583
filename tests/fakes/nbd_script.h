// One end of a conversation, played from a script: what an NBD peer says, whatever it is told.
#pragma once

#include <sys/socket.h>

#include <string>
#include <thread>
#include <utility>

#include "base/bytes.h"
#include "base/unique_fd.h"

namespace berth::block::nbd {

class ScriptedPeer {
 public:
  // Says `script`, listens until the other end closes, and then closes too. With `hang_up`, closes at once.
  ScriptedPeer(std::string script, bool hang_up) {
    int fds[2];
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    other_.Reset(fds[0]);
    thread_ = std::thread([fd = fds[1], script = std::move(script), hang_up] {
      const UniqueFd socket(fd);
      size_t sent = 0;
      while (sent < script.size()) {
        const ssize_t put = ::send(socket.get(), script.data() + sent, script.size() - sent, MSG_NOSIGNAL);
        if (put < 0) return;
        sent += static_cast<size_t>(put);
      }
      if (hang_up) ::shutdown(socket.get(), SHUT_WR);
      char ignored[4096];
      while (::recv(socket.get(), ignored, sizeof(ignored), 0) > 0) {
      }
    });
  }
  ~ScriptedPeer() {
    other_.Reset();
    thread_.join();
  }
  UniqueFd TakeSocket() { return std::move(other_); }

 private:
  UniqueFd other_;
  std::thread thread_;
};

// Bytes for the wire: Wire(uint32_t{1}, uint16_t{2}, "text").
inline void AppendWire(std::string* out, std::string_view text) { out->append(text); }
template <std::unsigned_integral T>
void AppendWire(std::string* out, T value) {
  char bytes[sizeof(T)];
  StoreBe<T>(bytes, value);
  out->append(bytes, sizeof(T));
}
template <typename... Parts>
std::string Wire(const Parts&... parts) {
  std::string out;
  (AppendWire(&out, parts), ...);
  return out;
}

}  // namespace berth::block::nbd

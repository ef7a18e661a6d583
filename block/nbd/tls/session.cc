#include "block/nbd/tls/session.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <openssl/err.h>

#include "base/mutex.h"

namespace berth::block::nbd {
namespace {

constexpr size_t kRecordBytes = 16 << 10;

class TlsChannel final : public Channel {
 public:
  TlsChannel(UniqueSsl ssl, UniqueFd socket) : Channel(std::move(socket)), ssl_(std::move(ssl)) {}

  ssize_t Read(std::span<const iovec> pieces) override {
    MutexLock lock(mutex_);
    size_t all = 0;
    for (const iovec& piece : pieces) {
      size_t got = 0;
      if (piece.iov_len == 0) continue;
      ::ERR_clear_error();
      const int done = ::SSL_read_ex(ssl_.get(), piece.iov_base, piece.iov_len, &got);
      if (done != 1) return all != 0 ? static_cast<ssize_t>(all) : Problem(done);
      all += got;
      if (got < piece.iov_len) break;
    }
    return static_cast<ssize_t>(all);
  }

  // Small pieces share a record.
  ssize_t Write(std::span<const iovec> pieces) override {
    std::array<uint8_t, kRecordBytes> record;
    size_t size = 0;
    for (const iovec& piece : pieces) {
      const size_t part = std::min(piece.iov_len, record.size() - size);
      std::memcpy(record.data() + size, piece.iov_base, part);
      size += part;
      if (size == record.size()) break;
    }
    MutexLock lock(mutex_);
    size_t put = 0;
    ::ERR_clear_error();
    const int done = ::SSL_write_ex(ssl_.get(), record.data(), size, &put);
    return done == 1 ? static_cast<ssize_t>(put) : Problem(done);
  }

  bool buffers() const override { return true; }
  void Close() override {
    MutexLock lock(mutex_);
    ::SSL_shutdown(ssl_.get());
  }

  // 0, or what there is to be waited for.
  Result<short> Shake() {
    MutexLock lock(mutex_);
    ::ERR_clear_error();
    const int done = ::SSL_do_handshake(ssl_.get());
    if (done == 1) return short{0};
    switch (::SSL_get_error(ssl_.get(), done)) {
      case SSL_ERROR_WANT_READ:
        return short{POLLIN};
      case SSL_ERROR_WANT_WRITE:
        return short{POLLOUT};
      default:
        return Fail(Code::kUnavailable, "TLS handshake failed: {}", SslErrorText());
    }
  }

 private:
  ssize_t Problem(int done) REQUIRES(mutex_) {
    switch (::SSL_get_error(ssl_.get(), done)) {
      case SSL_ERROR_WANT_READ:
      case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
      case SSL_ERROR_ZERO_RETURN:
        return 0;
      default:
        return -ECONNRESET;
    }
  }

  Mutex mutex_;
  const UniqueSsl ssl_ PT_GUARDED_BY(mutex_);
};

}  // namespace

std::string SslErrorText() {
  const unsigned long error = ::ERR_get_error();
  const char* const text = error == 0 ? nullptr : ::ERR_reason_error_string(error);
  return text == nullptr ? "the peer has closed the connection" : text;
}

Result<std::unique_ptr<Channel>> StartTls(UniqueSsl ssl, std::unique_ptr<Channel> plain,
                                          const Deadline& deadline) {
  UniqueFd socket = plain->TakeSocket();
  ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) | O_NONBLOCK);
  ::SSL_set_mode(ssl.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (::SSL_set_fd(ssl.get(), socket.get()) != 1) return Fail(Code::kInternal, "{}", SslErrorText());
  auto channel = std::make_unique<TlsChannel>(std::move(ssl), std::move(socket));
  while (const short events = TRY(channel->Shake())) TRY(WaitFor(*channel, events, deadline));
  return channel;
}

}  // namespace berth::block::nbd

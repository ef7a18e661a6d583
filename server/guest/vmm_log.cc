#include "server/guest/vmm_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>

#include "base/log.h"
#include "proto/error_details.h"

namespace berth::server {
namespace {

// At most so much is read of one VMM in this time.
constexpr size_t kChunkBytes = 4096;
constexpr std::chrono::milliseconds kChunkTime{100};
constexpr size_t kMaxLineBytes = 512;

}  // namespace

Result<std::unique_ptr<VmmLog>> VmmLog::Open(EventLoop& loop, const std::string& path, std::string guest) {
  if (::mkfifo(path.c_str(), 0600) != 0 && errno != EEXIST) return FailErrno(errno, "make the FIFO {}", path);
  std::unique_ptr<VmmLog> log(new VmmLog(loop, path, std::move(guest)));
  // Open both ways, so that a VMM that goes is no end of file.
  log->fifo_ = TRY(berth::Open(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW));
  Status watched = Ok();
  loop.Call([&] { watched = log->Watch(); });
  TRY(std::move(watched));
  return log;
}

VmmLog::~VmmLog() {
  loop_.Call([this] {
    Read();  // The last words.
    if (watched_) loop_.Unwatch(fifo_.get());
    if (pause_ != 0) loop_.Cancel(pause_);
    watched_ = false;
  });
}

Result<UniqueFd> VmmLog::OpenForWriting() const {
  return berth::Open(path_, O_RDWR | O_NONBLOCK | O_NOFOLLOW);
}

Status VmmLog::Watch() {
  pause_ = 0;
  TRY(loop_.Watch(fifo_.get(), EPOLLIN, [this](uint32_t) { OnReadable(); }));
  watched_ = true;
  return Ok();
}

void VmmLog::Read() {
  std::array<char, kChunkBytes> bytes;
  const ssize_t count = ::read(fifo_.get(), bytes.data(), bytes.size());
  if (count <= 0) return;
  for (char c : std::string_view(bytes.data(), static_cast<size_t>(count))) {
    if (c != '\n' && partial_.size() < kMaxLineBytes) {
      partial_ += c;
      continue;
    }
    if (!partial_.empty()) LOG_INFO("{}: {}", guest_, Printable(partial_, kMaxLineBytes));
    partial_.clear();
    if (c != '\n') partial_ += c;
  }
}

void VmmLog::OnReadable() {
  Read();
  loop_.Unwatch(fifo_.get());
  watched_ = false;
  pause_ = loop_.At(EventLoop::Clock::now() + kChunkTime, [this] { (void)Watch(); });
}

}  // namespace berth::server

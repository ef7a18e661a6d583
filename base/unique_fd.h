// The owner of one file descriptor. A function that takes `int fd` borrows; one that takes UniqueFd takes
// over.
#pragma once

#include <string>
#include <utility>

#include "base/error.h"

namespace berth {

class [[nodiscard]] UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset(int fd = -1);

 private:
  int fd_ = -1;
};

// open(2) with O_CLOEXEC added.
Result<UniqueFd> Open(const std::string& path, int flags, unsigned mode = 0);
// dup(2) with close-on-exec.
Result<UniqueFd> Duplicate(int fd);
// A non-blocking eventfd(2) with close-on-exec.
Result<UniqueFd> CreateEventFd();
// Adds one to an eventfd. Never blocks.
void SignalEventFd(int fd);
// Reads an eventfd's count and sets it to 0; 0 if it was not signalled.
uint64_t DrainEventFd(int fd);

}  // namespace berth

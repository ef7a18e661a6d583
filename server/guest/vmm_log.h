// What VMMs write to their standard error, as lines of our own log.
//
// It is a FIFO that its VMM has open both ways: it breaks when nobody reads, and never blocks. A restarted
// daemon goes on reading. How much is read in a while is limited; what is too much is lost.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace berth::server {

class VmmLog {
 public:
  // Makes the FIFO at `path` unless it is there, and reads it on `loop`, which outlives the log.
  static Result<std::unique_ptr<VmmLog>> Open(EventLoop& loop, const std::string& path, std::string guest);
  ~VmmLog();

  // What the VMM is to have as its standard error.
  Result<UniqueFd> OpenForWriting() const;

 private:
  VmmLog(EventLoop& loop, std::string path, std::string guest)
      : loop_(loop), path_(std::move(path)), guest_(std::move(guest)) {}
  Status Watch();
  void OnReadable();
  void Read();

  EventLoop& loop_;
  const std::string path_;
  const std::string guest_;
  UniqueFd fifo_;
  // Loop thread.
  std::string partial_;  // A line whose end has not come.
  bool watched_ = false;
  EventLoop::TimerId pause_ = 0;
};

}  // namespace berth::server

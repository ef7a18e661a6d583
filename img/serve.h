// What `serve` (and qemu-nbd) is told on the command line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "block/format_image.h"
#include "img/tool.h"

namespace berth::img {

struct ServeArguments {
  Source source{};
  std::string socket{};  // Empty: TCP.
  std::string port = "10809";
  std::string bind_address{};  // Empty: every address.
  std::string name{};
  std::string description{};
  std::string tls_id{};
  std::string tls_hostname{};
  std::string pid_file{};
  uint64_t offset = 0;
  size_t shared = 1;
  int handshake_seconds = 10;
  bool read_only = false;
  bool persistent = false;
  bool verbose = false;
  bool fork = false;
  bool list = false;
  bool allocation_depth = false;
  bool vhost_user = false;
  uint16_t queues = 1;  // Of the virtio device.
  std::vector<std::string> bitmaps{};
  block::OpenFlags flags{};
};

// Complains and ends the process where they are wrong.
ServeArguments ParseServeArguments(int argc, char** argv);

// Serves the image at the listening socket as a virtio-blk device to one virtual machine at a time, until one
// has gone, or a signal comes.
Status ServeVhostUser(EventLoop* loop, UniqueFd listener, std::unique_ptr<block::FormatImage> image,
                      const ServeArguments& arguments, const std::function<Status()>& ready);

// Lists what another server exports (-L); the process' status.
int ListExports(const ServeArguments& arguments);

}  // namespace berth::img

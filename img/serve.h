// What `serve` (and qemu-nbd) is told on the command line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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
  std::vector<std::string> bitmaps{};
  block::OpenFlags flags{};
};

// Complains and ends the process where they are wrong.
ServeArguments ParseServeArguments(int argc, char** argv);

// Lists what another server exports (-L); the process' status.
int ListExports(const ServeArguments& arguments);

}  // namespace berth::img

// What berthd's configuration says of a pool.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <optional>
#include <string>

#include "host/roots.h"

namespace berth::server {

struct LvmThinSettings {
  std::string volume_group, thin_pool;
  std::string program = "/usr/sbin/lvm";
  // Where the kernel shows the volumes, and as what: files, where lvm is a fake.
  std::string dev = host::HostRoots{}.dev;
  mode_t node_type = S_IFBLK;
  // Of each command: one that waits for a lock, or a device that does not answer, is given up.
  std::chrono::milliseconds timeout{60'000};
};

struct PoolSettings {
  std::string id;         // "fast"
  std::string directory;  // "/var/lib/berth/fast"; empty for other kinds.
  std::optional<LvmThinSettings> lvm_thin{};
  // What is promised may be so many times what the pool holds; 0 for no limit.
  double overcommit_ratio = 0;

  bool IsConfigured() const { return !directory.empty() || lvm_thin; }
  // For people: "/var/lib/berth/fast", "lvm-thin:vg0/pool".
  std::string Place() const {
    return lvm_thin ? "lvm-thin:" + lvm_thin->volume_group + "/" + lvm_thin->thin_pool : directory;
  }
};

}  // namespace berth::server

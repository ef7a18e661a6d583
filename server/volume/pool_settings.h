// What berthd's configuration says of a pool.
#pragma once

#include <string>

namespace berth::server {

struct PoolSettings {
  std::string id;         // "fast"
  std::string directory;  // "/var/lib/berth/fast"
  // What is promised may be so many times what the pool holds; 0 for no limit.
  double overcommit_ratio = 0;

  bool IsConfigured() const { return !directory.empty(); }
  std::string Place() const { return directory; }  // For people, and unlike that of any other pool.
};

}  // namespace berth::server

// The kernel's side of vhost-net as a function: notes what it is told, and refuses what the test wants
// refused.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "net/vhost.h"

namespace berth::net {

class FakeVhost {
 public:
  // On a descriptor that is nothing in particular. The fake outlives it.
  Result<std::unique_ptr<VhostNet>> Open();

  struct Ring {
    unsigned size = 0, base = 0;
    uint64_t descriptors = 0, available = 0, used = 0;
    int kick = -1, call = -1, error = -1, backend = -1;
  };

  uint64_t offered = ~0ull;
  std::map<unsigned long, int> refuse;  // By request: the errno value.
  bool owned = false;
  uint64_t features = 0;
  std::vector<VhostRange> memory;
  Ring rings[2];
  std::vector<unsigned long> requests;

 private:
  int Call(unsigned long request, void* argument);
};

}  // namespace berth::net

// A picture of the host: its NUMA nodes, their cores, who sits where, memory and devices.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "berth/v1/guest.pb.h"
#include "berth/v1/host.pb.h"

namespace berth::cli {

struct HostPicture {
  struct Cpu {
    int id = 0;
    bool online = true;
    std::string owner;                 // "web", if it is dedicated.
    std::vector<std::string> threads;  // What runs on it: "web/vcpu0", "web/io".
  };
  struct Core {
    int socket = 0, core = 0;
    std::vector<Cpu> cpus;
  };
  struct Part {
    std::string guest;
    int64_t size_bytes = 0;
  };
  struct Device {
    std::string name, guest;
  };
  struct Node {
    int id = 0;
    int64_t total_bytes = 0;
    std::vector<int> distances;
    std::vector<Core> cores;
    std::vector<Part> memory;  // Promised.
    std::vector<Device> devices;
    int64_t shared_millicpus = 0;  // Promised.
  };
  std::vector<Node> nodes;
};

// `devices` are those that guests have or could have.
HostPicture PictureOf(const berth::v1::Host& host, const std::vector<berth::v1::HostDevice>& devices,
                      const std::vector<berth::v1::Guest>& guests);

std::string ToText(const HostPicture& picture);
std::string ToSvg(const HostPicture& picture);

}  // namespace berth::cli

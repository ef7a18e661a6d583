#include "cli/host_picture.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/output.h"

namespace berth::cli {
namespace {

using Node = HostPicture::Node;
using Cpu = HostPicture::Cpu;

Node* FindNode(HostPicture* picture, int id) {
  for (Node& node : picture->nodes) {
    if (node.id == id) return &node;
  }
  return nullptr;
}

HostPicture::Core* CoreOf(Node* node, const berth::v1::HostCpu& cpu) {
  for (HostPicture::Core& core : node->cores) {
    if (core.socket == cpu.socket() && core.core == cpu.core()) return &core;
  }
  return &node->cores.emplace_back(HostPicture::Core{.socket = cpu.socket(), .core = cpu.core(), .cpus = {}});
}

// Threads that float over many CPUs are told of once for their guest: they would fill every line.
void PutThread(HostPicture* picture, const google::protobuf::RepeatedField<int32_t>& cpus,
               const std::string& guest, const std::string& thread) {
  const std::string name = cpus.size() == 1 ? guest + "/" + thread : guest;
  for (Node& node : picture->nodes) {
    for (HostPicture::Core& core : node.cores) {
      for (Cpu& cpu : core.cpus) {
        if (std::find(cpus.begin(), cpus.end(), cpu.id) == cpus.end()) continue;
        if (std::find(cpu.threads.begin(), cpu.threads.end(), name) == cpu.threads.end())
          cpu.threads.push_back(name);
      }
    }
  }
}

void PutGuest(HostPicture* picture, const berth::v1::Guest& guest) {
  const std::string id = GuestId(guest.name());
  const berth::v1::EffectivePlacement& placement = guest.placement();
  for (int i = 0; i < placement.vcpus_size(); ++i)
    PutThread(picture, placement.vcpus(i).host_cpus(), id, fmt::format("vcpu{}", i));
  PutThread(picture, placement.io_cpus(), id, "io");
  PutThread(picture, placement.emulator_cpus(), id, "emulator");
  for (const auto& reserved : placement.reserved().nodes()) {
    Node* node = FindNode(picture, reserved.host_node());
    if (node == nullptr) continue;
    node->shared_millicpus += reserved.shared_millicpus();
    int64_t size_bytes = 0;
    for (const auto& memory : reserved.memory()) size_bytes += memory.size_bytes();
    if (size_bytes > 0) node->memory.push_back({.guest = id, .size_bytes = size_bytes});
  }
}

std::string CpuText(const Cpu& cpu) {
  std::string text = fmt::format("cpu {}", cpu.id);
  if (!cpu.online) return text + " offline";
  if (!cpu.owner.empty() && cpu.threads.empty()) return fmt::format("{} [{}: idle]", text, cpu.owner);
  if (!cpu.owner.empty()) return fmt::format("{} [{}]", text, fmt::join(cpu.threads, " "));
  if (!cpu.threads.empty()) return fmt::format("{} ({})", text, fmt::join(cpu.threads, " "));
  return text + " free";
}

}  // namespace

HostPicture PictureOf(const berth::v1::Host& host, const std::vector<berth::v1::HostDevice>& devices,
                      const std::vector<berth::v1::Guest>& guests) {
  HostPicture picture;
  for (const auto& node : host.nodes()) {
    picture.nodes.push_back({.id = node.id(),
                             .total_bytes = node.memory_total_bytes(),
                             .distances = {node.distances().begin(), node.distances().end()},
                             .cores = {},
                             .memory = {},
                             .devices = {}});
  }
  for (const auto& cpu : host.cpus()) {
    Node* node = FindNode(&picture, cpu.node());
    if (node == nullptr) continue;
    CoreOf(node, cpu)->cpus.push_back(
        {.id = cpu.id(), .online = cpu.online(), .owner = GuestId(cpu.dedicated_to()), .threads = {}});
  }
  for (const auto& device : devices) {
    Node* node = device.has_host_node() ? FindNode(&picture, device.host_node()) : nullptr;
    if (node == nullptr) continue;
    const std::string name = device.has_pci() ? device.pci().address() : device.name();
    node->devices.push_back({.name = name, .guest = GuestId(device.guest())});
  }
  for (const auto& guest : guests) {
    if (guest.has_placement()) PutGuest(&picture, guest);
  }
  return picture;
}

std::string ToText(const HostPicture& picture) {
  std::string text;
  for (const Node& node : picture.nodes) {
    int64_t promised = 0;
    for (const auto& part : node.memory) promised += part.size_bytes;
    text += fmt::format("node {}   {}, {} promised   shared CPUs promised: {:g}   distances {}\n", node.id,
                        FormatBytes(node.total_bytes), FormatBytes(promised),
                        static_cast<double>(node.shared_millicpus) / 1000, fmt::join(node.distances, " "));
    for (const auto& core : node.cores) {
      text += fmt::format("  socket {} core {:<3}", core.socket, core.core);
      for (const Cpu& cpu : core.cpus) text += "  " + CpuText(cpu);
      text += '\n';
    }
    for (const auto& part : node.memory)
      text += fmt::format("  memory  {} {}\n", part.guest, FormatBytes(part.size_bytes));
    for (const auto& device : node.devices)
      text += fmt::format("  device  {} {}\n", device.name, device.guest.empty() ? "free" : device.guest);
  }
  text += "[…] dedicated, (…) shared\n";
  return text;
}

}  // namespace berth::cli

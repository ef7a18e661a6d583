// The machine's PCI devices, from their descriptions: one function a kind.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/event_loop.h"
#include "berth/vmm/v1/control.pb.h"
#include "block/engine.h"
#include "block/image_node.h"
#include "block/limit_node.h"
#include "hw/acpi/tables.h"
#include "hw/memory/guest_memory.h"
#include "hw/pci/bus.h"
#include "hw/virtio/balloon.h"
#include "hw/virtio/console.h"
#include "hw/virtio/device.h"
#include "kvm/cpuid.h"
#include "kvm/system.h"
#include "vmm/agent_channel.h"
#include "vmm/assigned_devices.h"
#include "vmm/console.h"
#include "vmm/descriptors.h"
#include "vmm/hot_plug_ports.h"

namespace berth::vmm {

// What devices are made with; all of it outlives them.
struct DeviceContext {
  const hw::GuestMemory* memory = nullptr;
  EventLoop* io_loop = nullptr;  // No thread runs it yet.
  block::IoEngine* io_engine = nullptr;
  hw::InterruptController* interrupts = nullptr;
  uint32_t vcpus = 1;
  Console* console = nullptr;
  AgentChannel* agent = nullptr;
  AssignedDevices* assigned = nullptr;  // Where there may be any.
  bool pinned = false;                  // There are some from the start.
  HotPlugPorts* ports = nullptr;
  std::function<Status()> confine_image_thread;  // Run by threads of disks.
};

// What a device counts, by name.
using CounterValues = std::vector<std::pair<std::string, uint64_t>>;

// The devices the machine itself has to do with; owned by their functions.
struct BuiltDevices {
  std::vector<v1::DeviceState> states;
  // By the device's id, or the disk's. Any thread, while the functions are there.
  std::vector<std::pair<std::string, std::function<CounterValues()>>> counters;
  std::map<std::string, const vfio::VfioPciFunction*> assigned;  // By the device's id.
  std::vector<hw::acpi::PciNode> nodes;  // Devices of the root bus, ports included, that have a NUMA node.
  // Disks in formats, which have something to write when the machine is over.
  std::vector<std::weak_ptr<block::BlockNode>> images;
  struct Disk {
    std::weak_ptr<block::LimitNode> limits;
    block::ImageNode* image = nullptr;                // That `limits` has, if it is a disk in a format.
    std::function<Status(uint64_t size_bytes)> grow;  // On the loop of the devices.
  };
  std::map<std::string, Disk> disks;  // By the disk's id.
  hw::VirtioBalloon* balloon = nullptr;
  hw::VirtioConsole* console = nullptr;
};

class DeviceBuilder {
 public:
  DeviceBuilder(const DeviceContext& context, Descriptors* fds) : context_(context), fds_(fds) {}

  // Puts every device of the configuration on the bus: virtio devices on the root bus itself, from device 1
  // up, assigned devices each behind a hot-plug port of its own; then the spare ports. Errors name the
  // device.
  Result<BuiltDevices> Build(const v1::MachineConfig& config, hw::PciBus& root);

 private:
  using Function = Result<std::unique_ptr<hw::PciFunction>>;
  // On the root bus as this device; the guest's address.
  Result<std::string> Put(const v1::DeviceConfig& device, unsigned number, hw::PciBus& root);
  Function Create(const v1::DeviceConfig& device);
  Function Virtio(const v1::DeviceConfig& config, std::unique_ptr<hw::VirtioDevice> device);
  Function Assigned(const v1::DeviceConfig& device);
  Result<std::unique_ptr<hw::VirtioDevice>> Block(const v1::DeviceConfig& device);
  Result<std::unique_ptr<hw::VirtioDevice>> Scsi(const v1::DeviceConfig& device);
  // The disk with its limits, known by this id.
  Result<std::shared_ptr<block::BlockNode>> Disk(const std::string& id, const v1::BlockDevice& config);
  uint16_t Queues(uint32_t wanted, uint16_t most) const;
  void AddCounters(const std::string& id, std::vector<NamedCounter> counters);
  Result<std::unique_ptr<hw::VirtioDevice>> Net(const v1::DeviceConfig& device);
  Result<std::unique_ptr<hw::VirtioDevice>> Balloon(const v1::DeviceConfig& device);
  Result<std::unique_ptr<hw::VirtioDevice>> VirtioConsole(const v1::VirtioConsoleDevice& config);

  const DeviceContext context_;
  Descriptors* const fds_;
  BuiltDevices built_;
};

kvm::CpuTopology Topology(const v1::CpuConfig& cpus);
// The width of guest-physical addresses, from CPUID 0x80000008.
Result<unsigned> PhysicalAddressBits(const kvm::System& system);
// What an assigned device counts; called while it is there.
std::function<CounterValues()> CountersOf(const vfio::VfioPciFunction* function);

}  // namespace berth::vmm

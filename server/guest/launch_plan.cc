#include "server/guest/launch_plan.h"

#include <algorithm>

#include "base/bytes.h"
#include "net/host/mac_address.h"
#include "proto/guest_name.h"
#include "server/guest/device_spec_check.h"
#include "server/guest/placement_view.h"
#include "server/guest/resource_policy.h"
#include "server/guest/spec_check.h"
#include "server/volume/pools.h"

namespace berth::server {
namespace {

namespace control = berth::vmm::v1;

// What a VMM locks besides its guest's memory: io_uring's rings and buffers.
constexpr uint64_t kLockedOverheadBytes = 128 * kMiB;
// Descriptors: some for itself, eventfds for queues, and for up to 2048 vectors of each assigned device.
constexpr uint64_t kOwnFiles = 1024;
constexpr uint64_t kFilesPerDevice = 64;
constexpr uint64_t kFilesPerAssignedDevice = 2304;
// Room that a hot-plug port has unless it is asked for more: what virtual functions and simple devices need.
constexpr uint64_t kHotPlugMemoryBytes = 2 * kMiB, kHotPlugPrefetchableBytes = 64 * kMiB,
                   kHotPlugIoBytes = 4 * kKiB;

// The plan while it is made: every part adds its steps, its descriptors and its part of the message.
class Planner {
 public:
  Planner(const StoredGuest& guest, const Placement& placement, const Admission& admission,
          const LaunchSettings& settings)
      : stored_(guest),
        guest_(guest.guest),
        spec_(guest.guest.spec()),
        placement_(placement),
        admission_(admission),
        settings_(settings) {}

  uint32_t Add(Descriptor descriptor) {
    plan_.descriptors.push_back(std::move(descriptor));
    return static_cast<uint32_t>(plan_.descriptors.size() - 1);
  }

  void AddMachine() {
    machine_->set_name(GuestIdOf(guest_.name()));
    machine_->set_uid(guest_.uid());
    machine_->set_on_reset(spec_.on_reset() == v1::STOP ? control::ON_RESET_QUIT : control::ON_RESET_RESTART);
    machine_->set_sandbox(settings_.sandbox);
    for (const std::string& pattern : settings_.trace_patterns) machine_->add_trace_patterns(pattern);
    plan_.steps.push_back(RuntimeDirectoryStep{GuestRuntimeDir(settings_, guest_)});
    plan_.build.set_listener_fd(Add(ListenerDescriptor{ControlSocketPath(settings_, guest_)}));
    plan_.build.set_kvm_fd(Add(KvmDescriptor{}));
  }

  void AddCpus() {
    const int sockets = Sockets();
    const int threads = ThreadsPerCore(sockets);
    control::CpuConfig* cpus = machine_->mutable_cpus();
    cpus->set_sockets(sockets);
    cpus->set_threads_per_core(threads);
    cpus->set_cores_per_socket(spec_.cpus().vcpu_count() / sockets / threads);
    if (placement_.nodes.size() == 1) return;
    cpus->mutable_node_of_vcpu()->Resize(spec_.cpus().vcpu_count(), 0);
    for (size_t node = 0; node < placement_.nodes.size(); ++node) {
      for (int vcpu : placement_.nodes[node].vcpus) cpus->set_node_of_vcpu(vcpu, static_cast<uint32_t>(node));
    }
  }

  // Where the owner leaves it open, a socket for each node, if they have runs of equally many vCPUs: guests
  // take what is in a socket to be near to each other.
  int Sockets() const {
    if (spec_.cpus().socket_count() > 0) return spec_.cpus().socket_count();
    const int nodes = std::max(static_cast<int>(placement_.nodes.size()), 1);
    const int threads = std::max(spec_.cpus().threads_per_core(), 1);
    if (spec_.cpus().vcpu_count() % (nodes * threads) != 0) return 1;
    const int each = spec_.cpus().vcpu_count() / nodes;
    for (size_t node = 0; node < placement_.nodes.size(); ++node) {
      for (int vcpu : placement_.nodes[node].vcpus) {
        if (vcpu / each != static_cast<int>(node)) return 1;
      }
    }
    return nodes;
  }

  // Where the owner leaves it open, as the host's cores are, if these fill the sockets.
  int ThreadsPerCore(int sockets) const {
    if (spec_.cpus().threads_per_core() > 0) return spec_.cpus().threads_per_core();
    const int threads = std::max(placement_.threads_per_core, 1);
    return spec_.cpus().vcpu_count() % (sockets * threads) == 0 ? threads : 1;
  }

  void AddMemoryNode(int index) {
    const Placement::Node& placed = placement_.nodes[index];
    control::MemoryNode* node = machine_->add_memory_nodes();
    uint64_t size_bytes = 0;
    for (const auto& memory : placed.memory) {
      size_bytes += memory.size_bytes;
      node->add_host_nodes(memory.host_node);
    }
    const uint64_t page_size = spec_.memory().page_size_bytes();
    node->set_size_bytes(size_bytes);
    node->set_page_size_bytes(page_size);
    if (CanMerge(spec_) && PolicyOf(spec_.resource_policy(), settings_.policy.guest_defaults).merge_pages) {
      node->set_mergeable(true);
    } else {
      node->set_memory_fd(Add(MemoryDescriptor{.name = MemoryFileName(machine_->name(), index),
                                               .size_bytes = size_bytes,
                                               .page_size_bytes = page_size == 0 ? 4096 : page_size}));
    }
    const bool given =
        index < spec_.memory().nodes_size() && spec_.memory().nodes(index).distances_size() > 0;
    const std::vector<int> distances = given
                                           ? std::vector<int>(spec_.memory().nodes(index).distances().begin(),
                                                              spec_.memory().nodes(index).distances().end())
                                           : placed.distances;
    if (placement_.nodes.size() == 1) return;
    for (int distance : distances) node->add_distances(static_cast<uint32_t>(distance));
  }

  void AddMemory() {
    for (size_t i = 0; i < placement_.nodes.size(); ++i) AddMemoryNode(static_cast<int>(i));
  }

  void AddBoot() {
    control::BootConfig* boot = machine_->mutable_boot();
    boot->set_command_line(spec_.boot().command_line());
    boot->set_kernel_fd(
        Add(FileDescriptor{.role = FileDescriptor::Role::kKernel, .path = spec_.boot().kernel_path()}));
    if (spec_.boot().initrd_path().empty()) return;
    boot->set_has_initrd(true);
    boot->set_initrd_fd(
        Add(FileDescriptor{.role = FileDescriptor::Role::kInitrd, .path = spec_.boot().initrd_path()}));
  }

  static std::string DiskFormat(const v1::DiskSpec& disk) {
    return disk.format() == v1::DiskSpec::QCOW2 ? "qcow2" : "raw";
  }

  // A pool that there is not is found when the volume is to be opened.
  FileDescriptor DiskImage(const v1::DiskSpec& disk) const {
    FileDescriptor image{.role = FileDescriptor::Role::kImage,
                         .writable = !disk.read_only(),
                         .direct = disk.cache() == v1::DiskSpec::DIRECT};
    if (const auto volume = VolumeName::Parse(disk.volume())) {
      image.path = disk.volume();
      image.pool = FindPool(settings_.pools, volume->pool);
      return image;
    }
    image.path = disk.path();
    image.format = DiskFormat(disk);
    image.beneath = {disk.beneath_paths().begin(), disk.beneath_paths().end()};
    return image;
  }

  // What an image in a format stands on is known once it is open.
  void FillDisk(const v1::DiskSpec& disk, control::BlockDevice* block) {
    block->set_image_fd(Add(DiskImage(disk)));
    block->set_volume(disk.volume());
    block->set_read_only(disk.read_only());
    block->set_serial(disk.serial());
    block->set_queues(disk.queue_count());
    block->set_logical_block_size_bytes(disk.logical_block_size_bytes());
    block->set_physical_block_size_bytes(disk.physical_block_size_bytes());
    block->set_discard(disk.discard());
    block->set_write_through(disk.cache() == v1::DiskSpec::WRITE_THROUGH);
    block->set_size_bytes(static_cast<uint64_t>(disk.size_bytes()));
    if (disk.has_io_limits()) *block->mutable_limits() = ToControlLimits(disk.io_limits());
  }

  void AddDisk(int index) {
    const v1::DiskSpec& disk = spec_.disks(index);
    if (BusOf(disk) != v1::DiskSpec::VIRTIO_BLK) return;
    control::DeviceConfig* device = machine_->add_devices();
    device->set_id(DiskId(spec_, index));
    FillDisk(disk, device->mutable_block());
  }

  // All of them on one controller.
  void AddScsiDisks() {
    control::ScsiController* controller = nullptr;
    for (int i = 0; i < spec_.disks_size(); ++i) {
      const v1::DiskSpec& disk = spec_.disks(i);
      if (BusOf(disk) != v1::DiskSpec::VIRTIO_SCSI) continue;
      if (controller == nullptr) {
        control::DeviceConfig* device = machine_->add_devices();
        device->set_id(kScsiControllerId);
        controller = device->mutable_scsi();
      }
      control::ScsiUnit* unit = controller->add_units();
      unit->set_id(DiskId(spec_, i));
      unit->set_cd_rom(disk.kind() == v1::DiskSpec::CD_ROM);
      FillDisk(disk, unit->mutable_disk());
    }
  }

  void AddNetworkInterface(int index) {
    const v1::NetworkInterfaceSpec& nic = spec_.network_interfaces(index);
    const std::string owner = guest_.uid() + "/" + NetworkInterfaceId(spec_, index);
    const int queues = std::max(nic.queue_pair_count(), 1);
    plan_.steps.push_back(TapStep{
        .owner = owner, .bridge = nic.bridge(), .queues = queues, .mtu = static_cast<uint32_t>(nic.mtu())});
    control::DeviceConfig* device = machine_->add_devices();
    device->set_id(NetworkInterfaceId(spec_, index));
    control::NetDevice* net = device->mutable_net();
    for (int i = 0; i < queues; ++i) net->add_tap_fds(Add(TapQueueDescriptor{.owner = owner, .queue = i}));
    for (int i = 0; i < queues && settings_.vhost_net; ++i) net->add_vhost_fds(Add(VhostNetDescriptor{}));
    const net::MacAddress mac = nic.mac_address().empty()
                                    ? net::MacAddressFor(owner)
                                    : net::MacAddress::Parse(nic.mac_address()).value_or(net::MacAddress{});
    net->set_mac_address(std::string(mac.bytes.begin(), mac.bytes.end()));
    net->set_mtu(nic.mtu());
  }

  // The host nodes of each guest node.
  std::vector<std::vector<int>> MemoryNodes() const {
    std::vector<std::vector<int>> nodes;
    for (const Placement::Node& node : placement_.nodes) {
      std::vector<int>& hosts = nodes.emplace_back();
      for (const Placement::Memory& memory : node.memory) hosts.push_back(memory.host_node);
    }
    return nodes;
  }

  // The device's name within its group, and whose descriptor the group's is, are known once the group is
  // open.
  void AddAssignedDevice(const ResolvedDevice& resolved, int index) {
    DevicePlan plan = PlanDevice(resolved, spec_.assigned_devices(index), MemoryNodes());
    if (resolved.host_node && placement_.nodes.size() > 1) {
      plan.config.set_has_node(true);
      plan.config.set_node(static_cast<uint32_t>(placement_.devices[index].guest_node));
    }
    control::DeviceConfig* device = machine_->add_devices();
    *device = plan.config;
    device->mutable_vfio()->set_group_fd(Add(plan.name));
    plan_.devices.push_back(std::move(plan));
  }

  void AddHotPlugPorts() {
    for (const v1::HotPlugPortSpec& port : spec_.hot_plug_ports()) {
      const auto or_default = [](int64_t bytes, uint64_t by_default) {
        return bytes == 0 ? by_default : static_cast<uint64_t>(bytes);
      };
      control::SparePort* spare = machine_->add_spare_ports();
      spare->set_memory_bytes(or_default(port.memory_bytes(), kHotPlugMemoryBytes));
      spare->set_prefetchable_bytes(or_default(port.prefetchable_memory_bytes(), kHotPlugPrefetchableBytes));
      spare->set_io_bytes(kHotPlugIoBytes);
      if (port.has_guest_node()) {
        spare->set_has_node(true);
        spare->set_node(static_cast<uint32_t>(port.guest_node()));
      }
    }
  }

  void AddRest() {
    if (spec_.entropy_device()) {
      control::DeviceConfig* device = machine_->add_devices();
      device->set_id("entropy");
      device->mutable_rng();
    }
    if (spec_.memory().balloon()) {
      control::DeviceConfig* device = machine_->add_devices();
      device->set_id("balloon");
      device->mutable_balloon()->set_free_page_reporting(true);
      device->mutable_balloon()->set_deflate_on_oom(true);
    }
    AddConsole();
  }

  // One device has the port of the console and that of the agent, where there are such.
  void AddConsole() {
    const bool has_console = spec_.console().source() == v1::ConsoleSpec::VIRTIO;
    if (has_console) machine_->mutable_console()->set_source(control::ConsoleConfig::VIRTIO);
    if (!has_console && !spec_.guest_agent()) return;
    control::DeviceConfig* device = machine_->add_devices();
    device->set_id(has_console ? "console" : "agent");
    device->mutable_virtio_console()->set_agent(spec_.guest_agent());
    device->mutable_virtio_console()->set_no_console(!has_console);
  }

  // Limits of time are for vCPUs that share: of the whole guest if all do, else of each of these.
  void AddCgroup() {
    CgroupStep cgroup{.guest = machine_->name()};
    const v1::EffectivePlacement shown = ToEffectivePlacement(placement_);
    cgroup.limits = {.cpus = WholeCpus(shown), .memory_nodes = placement_.AllNodes()};
    cgroup.limits.cpu_weight = static_cast<uint32_t>(admission_.cpu_weight);
    const host::CpuSet& dedicated = placement_.reservation.dedicated_cpus;
    const auto shares = [&](const host::CpuSet& cpus) { return (cpus & dedicated).empty(); };
    const auto sharing =
        static_cast<uint64_t>(std::count_if(placement_.vcpus.begin(), placement_.vcpus.end(), shares));
    const auto limit = static_cast<uint64_t>(admission_.cpu_limit_millicpus);
    const bool all_share = sharing == placement_.vcpus.size();
    if (limit > 0 && all_share) cgroup.limits.cpu_max_millicpu = limit;
    for (size_t i = 0; i < placement_.vcpus.size(); ++i) {
      host::CgroupChild& child = plan_.vcpu_places.emplace_back();
      child = {.name = VcpuChild(static_cast<int>(i)), .limits = {.cpus = placement_.vcpus[i]}};
      if (limit > 0 && !all_share && shares(child.limits.cpus))
        child.limits.cpu_max_millicpu = limit / sharing;
    }
    plan_.io_place = {.name = kIoChild, .limits = {.cpus = ToCpuSet(shown.io_cpus())}};
    plan_.emulator_place = {.name = kEmulatorChild, .limits = {.cpus = placement_.emulator}};
    cgroup.children = plan_.vcpu_places;
    cgroup.children.push_back(plan_.io_place);
    cgroup.children.push_back(plan_.emulator_place);
    AddMemoryLimits(&cgroup.limits);
    AddDiskLimits(&cgroup);
    plan_.steps.push_back(std::move(cgroup));
  }

  void AddMemoryLimits(host::CgroupLimits* limits) const {
    if (admission_.memory_reserved_bytes > 0) limits->memory_min = admission_.memory_reserved_bytes;
    if (admission_.memory_limit_bytes > 0) limits->memory_max = admission_.memory_limit_bytes;
  }

  void AddDiskLimits(CgroupStep* cgroup) const {
    const v1::ResourcePolicySpec& policy = spec_.resource_policy();
    if (policy.io_weight() > 0) cgroup->limits.io_weight = static_cast<uint32_t>(policy.io_weight());
    for (const v1::IoLimit& limit : policy.io_limits()) {
      cgroup->disks.push_back(
          {.path = limit.path(),
           .limit = {.read_bytes = static_cast<uint64_t>(limit.read_bytes_per_second()),
                     .write_bytes = static_cast<uint64_t>(limit.write_bytes_per_second()),
                     .read_operations = static_cast<uint64_t>(limit.read_operations_per_second()),
                     .write_operations = static_cast<uint64_t>(limit.write_operations_per_second())}});
    }
  }

  void SetLimits() {
    const uint64_t assigned = spec_.assigned_devices_size() + spec_.hot_plug_ports_size();
    // VFIO pins all of the guest's memory, once, in one container.
    plan_.limits.locked_memory_bytes = kLockedOverheadBytes + (HasVfio() ? MemorySize(spec_) : 0);
    plan_.limits.open_files = kOwnFiles + kFilesPerDevice * (machine_->devices_size() + ScsiDisks()) +
                              kFilesPerAssignedDevice * assigned;
    plan_.limits.user = settings_.first_user + static_cast<uint32_t>(stored_.slot);
  }

  int64_t ScsiDisks() const {
    return std::count_if(spec_.disks().begin(), spec_.disks().end(),
                         [](const v1::DiskSpec& disk) { return BusOf(disk) == v1::DiskSpec::VIRTIO_SCSI; });
  }

  // Now, or when a device is attached.
  bool HasVfio() const { return spec_.assigned_devices_size() > 0 || spec_.hot_plug_ports_size() > 0; }

  LaunchPlan Make(const std::vector<ResolvedDevice>& devices) {
    AddMachine();
    AddCpus();
    AddMemory();
    AddBoot();
    for (int i = 0; i < spec_.disks_size(); ++i) AddDisk(i);
    AddScsiDisks();
    for (int i = 0; i < spec_.network_interfaces_size(); ++i) AddNetworkInterface(i);
    for (size_t i = 0; i < devices.size(); ++i) AddAssignedDevice(devices[i], static_cast<int>(i));
    AddHotPlugPorts();
    if (HasVfio()) machine_->set_vfio_container_fd_plus_one(Add(VfioContainerDescriptor{}) + 1);
    AddRest();
    AddCgroup();
    SetLimits();
    return std::move(plan_);
  }

 private:
  const StoredGuest& stored_;
  const v1::Guest& guest_;
  const v1::GuestSpec& spec_;
  const Placement& placement_;
  const Admission& admission_;
  const LaunchSettings& settings_;
  LaunchPlan plan_;
  control::MachineConfig* const machine_ = plan_.build.mutable_machine();
};

}  // namespace

control::DiskIoLimits ToControlLimits(const v1::DiskIoLimits& limits) {
  control::DiskIoLimits made;
  made.set_operations(limits.operations_per_second());
  made.set_operations_burst(limits.operations_burst());
  made.set_bytes(limits.bytes_per_second());
  made.set_bytes_burst(limits.bytes_burst());
  return made;
}

LaunchPlan MakeLaunchPlan(const StoredGuest& guest, const std::vector<ResolvedDevice>& devices,
                          const Placement& placement, const Admission& admission,
                          const LaunchSettings& settings) {
  return Planner(guest, placement, admission, settings).Make(devices);
}

std::string GuestRuntimeDir(const LaunchSettings& settings, const v1::Guest& guest) {
  return fmt::format("{}/guests/{}", settings.runtime_dir, guest.uid());
}

std::string ControlSocketPath(const LaunchSettings& settings, const v1::Guest& guest) {
  return GuestRuntimeDir(settings, guest) + "/control";
}

}  // namespace berth::server

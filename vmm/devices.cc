#include "vmm/devices.h"

#include <algorithm>

#include "hw/virtio/block.h"
#include "hw/virtio/net.h"
#include "hw/virtio/pci_transport.h"
#include "hw/virtio/rng.h"
#include "vmm/disk_image.h"

namespace berth::vmm {

using namespace hw;

namespace {

constexpr unsigned kFirstDevice = 1;  // 0 is left for the host bridge that people look for there.

}  // namespace

Result<BuiltDevices> DeviceBuilder::Build(const v1::MachineConfig& config, PciBus& root) {
  const int needed = config.devices_size() + config.spare_ports_size();
  if (needed > static_cast<int>(PciBus::kMaxDevices - kFirstDevice)) {
    return Fail(
        Error(Code::kResourceExhausted,
              fmt::format("{} devices and {} spare ports: the root bus holds {}", config.devices_size(),
                          config.spare_ports_size(), PciBus::kMaxDevices - kFirstDevice))
            .Reason("TOO_MANY_DEVICES"));
  }
  unsigned number = kFirstDevice;
  for (const v1::DeviceConfig& device : config.devices()) {
    v1::DeviceState state;
    state.set_id(device.id());
    state.set_guest_address(TRY(Context(Put(device, number, root), "device " + device.id())));
    built_.states.push_back(std::move(state));
    if (device.has_node()) built_.nodes.push_back({MakeDevfn(number, 0), device.node()});
    ++number;
  }
  for (const v1::SparePort& spare : config.spare_ports()) {
    TRY(Context(
        context_.ports->Add({.device = number,
                             .reserved = {spare.memory_bytes(), spare.prefetchable_bytes(), spare.io_bytes()},
                             .node = spare.has_node() ? std::optional(spare.node()) : std::nullopt},
                            nullptr),
        "a spare port"));
    if (spare.has_node()) built_.nodes.push_back({MakeDevfn(number, 0), spare.node()});
    ++number;
  }
  return std::move(built_);
}

Result<std::string> DeviceBuilder::Put(const v1::DeviceConfig& device, unsigned number, PciBus& root) {
  auto function = TRY(Create(device));
  if (device.has_vfio()) {
    return context_.ports->Add({.device = number,
                                .node = device.has_node() ? std::optional(device.node()) : std::nullopt,
                                .id = device.id()},
                               std::move(function));
  }
  TRY(root.Add(MakeDevfn(number, 0), std::move(function)));
  return fmt::format("0000:00:{:02x}.0", number);
}

DeviceBuilder::Function DeviceBuilder::Create(const v1::DeviceConfig& device) {
  switch (device.kind_case()) {
    case v1::DeviceConfig::kBlock:
      return Virtio(device, TRY(Block(device)));
    case v1::DeviceConfig::kNet:
      return Virtio(device, TRY(Net(device)));
    case v1::DeviceConfig::kRng:
      return Virtio(device, CreateVirtioRng());
    case v1::DeviceConfig::kBalloon:
      return Virtio(device, TRY(Balloon(device)));
    case v1::DeviceConfig::kVirtioConsole:
      return Virtio(device, TRY(VirtioConsole()));
    case v1::DeviceConfig::kVfio:
      return Assigned(device);
    case v1::DeviceConfig::KIND_NOT_SET:
      break;
  }
  return Fail(Code::kUnimplemented, "this berth-vmm does not know its kind");
}

DeviceBuilder::Function DeviceBuilder::Virtio(const v1::DeviceConfig& config,
                                              std::unique_ptr<VirtioDevice> device) {
  built_.counters.emplace_back(config.id(), [counters = device->counters()] {
    CounterValues values;
    for (const NamedCounter& counter : counters) values.emplace_back(counter.name, counter.counter->value());
    return values;
  });
  return CreateVirtioPciFunction(config.id(), std::move(device), context_.memory, context_.io_loop,
                                 context_.interrupts);
}

DeviceBuilder::Function DeviceBuilder::Assigned(const v1::DeviceConfig& device) {
  if (context_.assigned == nullptr) return Fail(Code::kInvalidArgument, "there is no VFIO container");
  auto function = TRY(context_.assigned->CreateFunction(device, fds_, context_.io_loop));
  built_.counters.emplace_back(device.id(), CountersOf(function.get()));
  built_.assigned[device.id()] = function.get();
  return function;
}

Result<std::unique_ptr<VirtioDevice>> DeviceBuilder::Block(const v1::DeviceConfig& device) {
  const v1::BlockDevice& config = device.block();
  auto disk =
      TRY(OpenDisk(config, fds_, {context_.io_loop, context_.io_engine, context_.confine_image_thread}));
  TRY(disk->Grow(config.size_bytes()));
  auto* const image = dynamic_cast<block::ImageNode*>(disk.get());
  const std::shared_ptr<block::LimitNode> limits =
      block::CreateLimitNode(context_.io_loop, std::move(disk), LimitsOf(config.limits()));
  const std::shared_ptr<block::BlockNode> node = limits;
  if (HasMetadata(config) && !config.read_only()) built_.images.push_back(node);
  const uint32_t queues = config.queues() != 0 ? config.queues() : context_.vcpus;
  auto block =
      TRY(CreateVirtioBlock({.name = device.id(),
                             .serial = config.serial(),
                             .queues = static_cast<uint16_t>(std::min<uint32_t>(queues, kMaxBlockQueues)),
                             .read_only = config.read_only(),
                             .discard = config.discard(),
                             .write_through = config.write_through(),
                             .logical_block_size_bytes = config.logical_block_size_bytes(),
                             .physical_block_size_bytes = config.physical_block_size_bytes()},
                            node));
  built_.disks[device.id()] = {limits, image, block.get()};
  return block;
}

Result<std::unique_ptr<VirtioDevice>> DeviceBuilder::Net(const v1::DeviceConfig& device) {
  const v1::NetDevice& config = device.net();
  VirtioNetOptions options{.name = device.id()};
  if (config.mac_address().size() != options.mac.size()) {
    return Fail(Code::kInvalidArgument, "a MAC address has {} bytes, not {}", options.mac.size(),
                config.mac_address().size());
  }
  std::copy(config.mac_address().begin(), config.mac_address().end(), options.mac.begin());
  if (config.mtu() != 0) options.mtu = static_cast<uint16_t>(std::min(config.mtu(), 65535u));
  std::vector<UniqueFd> taps;
  for (const uint32_t fd : config.tap_fds()) taps.push_back(TRY(fds_->Take(fd)));
  std::vector<std::unique_ptr<net::VhostNet>> vhost;
  for (const uint32_t fd : config.vhost_fds()) vhost.push_back(TRY(net::VhostNet::Open(TRY(fds_->Take(fd)))));
  return TRY(CreateVirtioNet(options, TRY(net::OpenTap(std::move(taps))), std::move(vhost)));
}

Result<std::unique_ptr<VirtioDevice>> DeviceBuilder::Balloon(const v1::DeviceConfig& device) {
  const v1::BalloonDevice& config = device.balloon();
  auto balloon = TRY(VirtioBalloon::Create({.free_page_reporting = config.free_page_reporting(),
                                            .deflate_on_oom = config.deflate_on_oom(),
                                            .pinned = context_.pinned}));
  built_.balloon = balloon.get();
  return balloon;
}

Result<std::unique_ptr<VirtioDevice>> DeviceBuilder::VirtioConsole() {
  auto console = TRY(hw::VirtioConsole::Create(
      [output = context_.console](std::span<const uint8_t> bytes) { output->Output(bytes); }));
  built_.console = console.get();
  return console;
}

kvm::CpuTopology Topology(const v1::CpuConfig& cpus) {
  const auto at_least_one = [](uint32_t count) { return std::clamp(count, 1u, 4096u); };
  return {at_least_one(cpus.sockets()), at_least_one(cpus.cores_per_socket()),
          at_least_one(cpus.threads_per_core())};
}

Result<unsigned> PhysicalAddressBits(const kvm::System& system) {
  constexpr uint32_t kAddressSizes = 0x80000008;
  for (const kvm::CpuidEntry& leaf : TRY(system.SupportedCpuid())) {
    if (leaf.function == kAddressSizes) return std::clamp(leaf.eax & 0xff, 36u, 52u);
  }
  return 36;
}

std::function<CounterValues()> CountersOf(const vfio::VfioPciFunction* function) {
  return [function] {
    const vfio::VfioPciFunction::Counters counters = function->counters();
    return CounterValues{
        {"trapped_reads", counters.trapped_reads},     {"trapped_writes", counters.trapped_writes},
        {"failed_accesses", counters.failed_accesses}, {"config_reads", counters.config_reads},
        {"config_writes", counters.config_writes},     {"resets", counters.resets}};
  };
}

}  // namespace berth::vmm

#include "vmm/devices.h"

#include <algorithm>

#include "hw/virtio/block.h"
#include "hw/virtio/net.h"
#include "hw/virtio/pci_transport.h"
#include "hw/virtio/rng.h"
#include "hw/virtio/scsi.h"
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
      return Virtio(device, TRY(VirtioConsole(device.virtio_console())));
    case v1::DeviceConfig::kScsi:
      return Virtio(device, TRY(Scsi(device)));
    case v1::DeviceConfig::kVfio:
      return Assigned(device);
    case v1::DeviceConfig::KIND_NOT_SET:
      break;
  }
  return Fail(Code::kUnimplemented, "this berth-vmm does not know its kind");
}

DeviceBuilder::Function DeviceBuilder::Virtio(const v1::DeviceConfig& config,
                                              std::unique_ptr<VirtioDevice> device) {
  AddCounters(config.id(), device->counters());
  return CreateVirtioPciFunction(config.id(), std::move(device), context_.memory, context_.io_loop,
                                 context_.interrupts);
}

void DeviceBuilder::AddCounters(const std::string& id, std::vector<NamedCounter> counters) {
  built_.counters.emplace_back(id, [counters = std::move(counters)] {
    CounterValues values;
    for (const NamedCounter& counter : counters) values.emplace_back(counter.name, counter.counter->value());
    return values;
  });
}

DeviceBuilder::Function DeviceBuilder::Assigned(const v1::DeviceConfig& device) {
  if (context_.assigned == nullptr) return Fail(Code::kInvalidArgument, "there is no VFIO container");
  auto function = TRY(context_.assigned->CreateFunction(device, fds_, context_.io_loop));
  built_.counters.emplace_back(device.id(), CountersOf(function.get()));
  built_.assigned[device.id()] = function.get();
  return function;
}

Result<std::shared_ptr<block::BlockNode>> DeviceBuilder::Disk(const std::string& id,
                                                              const v1::BlockDevice& config) {
  auto disk =
      TRY(OpenDisk(config, fds_, {context_.io_loop, context_.io_engine, context_.confine_image_thread}));
  TRY(disk->Grow(config.size_bytes()));
  auto* const image = dynamic_cast<block::ImageNode*>(disk.get());
  const std::shared_ptr<block::LimitNode> limits =
      block::CreateLimitNode(context_.io_loop, std::move(disk), LimitsOf(config.limits()));
  const std::shared_ptr<block::BlockNode> node = limits;
  if (HasMetadata(config) && !config.read_only()) built_.images.push_back(node);
  built_.disks[id].limits = limits;
  built_.disks[id].image = image;
  return node;
}

uint16_t DeviceBuilder::Queues(uint32_t wanted, uint16_t most) const {
  return static_cast<uint16_t>(std::min<uint32_t>(wanted != 0 ? wanted : context_.vcpus, most));
}

Result<std::unique_ptr<VirtioDevice>> DeviceBuilder::Block(const v1::DeviceConfig& device) {
  const v1::BlockDevice& config = device.block();
  auto block = TRY(CreateVirtioBlock({.name = device.id(),
                                      .serial = config.serial(),
                                      .queues = Queues(config.queues(), kMaxBlockQueues),
                                      .read_only = config.read_only(),
                                      .discard = config.discard(),
                                      .write_through = config.write_through(),
                                      .logical_block_size_bytes = config.logical_block_size_bytes(),
                                      .physical_block_size_bytes = config.physical_block_size_bytes()},
                                     TRY(Disk(device.id(), config))));
  built_.disks[device.id()].grow = [raw = block.get()](uint64_t size_bytes) { return raw->Grow(size_bytes); };
  return block;
}

Result<std::unique_ptr<VirtioDevice>> DeviceBuilder::Scsi(const v1::DeviceConfig& device) {
  std::vector<VirtioScsi::Unit> units;
  for (const v1::ScsiUnit& unit : device.scsi().units()) {
    const v1::BlockDevice& config = unit.disk();
    units.push_back({{.kind = unit.cd_rom() ? ScsiUnitKind::kCdRom : ScsiUnitKind::kDisk,
                      .name = unit.id(),
                      .serial = config.serial(),
                      .read_only = config.read_only(),
                      .discard = config.discard(),
                      .write_through = config.write_through(),
                      .logical_block_size_bytes = config.logical_block_size_bytes(),
                      .physical_block_size_bytes = config.physical_block_size_bytes()},
                     TRY(Context(Disk(unit.id(), config), "unit " + unit.id()))});
  }
  const VirtioScsiOptions options{.name = device.id(),
                                  .queues = Queues(device.scsi().queues(), kMaxScsiQueues)};
  auto scsi = TRY(CreateVirtioScsi(options, std::move(units)));
  for (int i = 0; i < device.scsi().units_size(); ++i) {
    const std::string& id = device.scsi().units(i).id();
    const auto lun = static_cast<uint32_t>(i);
    AddCounters(id, scsi->unit_counters(lun));
    built_.disks[id].grow = [raw = scsi.get(), lun](uint64_t size_bytes) {
      return raw->Grow(lun, size_bytes);
    };
  }
  return scsi;
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

Result<std::unique_ptr<VirtioDevice>> DeviceBuilder::VirtioConsole(const v1::VirtioConsoleDevice& config) {
  hw::VirtioConsole::Ports ports;
  if (!config.no_console())
    ports.console = [output = context_.console](std::span<const uint8_t> bytes) { output->Output(bytes); };
  if (config.agent())
    ports.agent = [agent = context_.agent](std::span<const uint8_t> bytes) { agent->Output(bytes); };
  auto console = TRY(hw::VirtioConsole::Create(std::move(ports)));
  hw::VirtioConsole* const raw = console.get();
  if (!config.no_console()) built_.console = raw;
  if (config.agent()) {
    context_.agent->Connect(
        {.input = [raw](std::span<const uint8_t> bytes) { return raw->AgentInput(bytes); },
         .is_open = [raw] { return raw->agent_open(); },
         .hold = [raw](bool hold) { raw->HoldAgentOutput(hold); }});
  }
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

#include "vmm/machine.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <future>

#include "base/log.h"
#include "hw/acpi/tables.h"
#include "hw/pci/root_port.h"
#include "vmm/memory_plan.h"
#include "vmm/resident.h"

namespace berth::vmm {

using namespace hw;  // The machine is made of it.

namespace {

// The most RAM that is mapped for the guest before it runs; a start must not take long on a host of small
// pages.
constexpr uint64_t kPreFaultMost = 4 * kGiB;

// As many as there are CPUs for this process, within reason.
unsigned PopulatingThreads() {
  constexpr int kMost = 16;
  cpu_set_t cpus;
  if (::sched_getaffinity(0, sizeof(cpus), &cpus) != 0) return 1;
  return static_cast<unsigned>(std::clamp(CPU_COUNT(&cpus), 1, kMost));
}

tl::unexpected<Error> NoBalloon() {
  return berth::Fail(Error(Code::kFailedPrecondition, "the machine has no balloon").Reason("NO_BALLOON"));
}

}  // namespace

Machine::Machine(const v1::MachineConfig& config, EventLoop* control, EventLog* events)
    : config_(config), control_(control), events_(events) {}

Result<std::unique_ptr<Machine>> Machine::Build(const v1::MachineConfig& config, UniqueFd kvm,
                                                Descriptors fds, EventLoop* control, EventLog* events) {
  std::unique_ptr<Machine> machine(new Machine(config, control, events));
  TRY(machine->Confine(ThreadKind::kAny));
  TRY(machine->CreateVm(std::move(kvm)));  // KVM, interrupt controllers
  TRY(machine->CreateRam(fds));            // RAM of each guest NUMA node, seen by KVM
  TRY(machine->CreateChipset(fds));        // console, serial port, clock, power, pvpanic
  TRY(machine->CreatePci());               // host bridge: ECAM and configuration ports
  TRY(machine->CreateDevices(fds));        // virtio and assigned devices; BARs laid out
  TRY(machine->StartIoThread());           // which uses the devices from here on
  TRY(machine->LoadFirmware());            // ACPI tables, reset vector
  TRY(machine->OpenBootFiles(fds));
  TRY(machine->LoadKernel());   // kernel, initrd, command line
  TRY(machine->CreateVcpus());  // CPUID, entry state, threads
  machine->MapWhatIsThere();    // for a start without faults
  TRY(machine->Confine(ThreadKind::kControl));
  machine->SetState(v1::BUILT);
  return machine;
}

Machine::~Machine() {
  // No guest code from here on. Until its threads have ended, what the guest does still asks for vcpus_.
  if (vcpus_) vcpus_->End();
  vcpus_.reset();
  if (io_loop_ && io_thread_.joinable()) {
    EndDiskJobs();
    // Devices leave their loop while it still turns.
    if (pci_) pci_->Reset();
    io_loop_->Stop();
    io_thread_.join();
  }
}

Status Machine::CreateVm(UniqueFd kvm) {
  system_ = std::make_unique<kvm::System>(TRY(kvm::System::Create(std::move(kvm))));
  vm_ = TRY(kvm::Vm::Create(system_.get()));
  const kvm::CpuTopology topology = Topology(config_.cpus());
  if (topology.vcpus() == 0 || topology.vcpus() > vm_->max_vcpus()) {
    return berth::Fail(Code::kInvalidArgument, "{} vCPUs; KVM gives a machine 1 to {}", topology.vcpus(),
                       vm_->max_vcpus());
  }
  interrupts_ = std::make_unique<KvmInterrupts>(vm_.get());
  slots_ = std::make_unique<KvmMemorySlots>(vm_.get());
  memory_doorbells_ = std::make_unique<KvmIoEvents>(vm_.get(), false);
  port_doorbells_ = std::make_unique<KvmIoEvents>(vm_.get(), true);
  TRY(memory_space_.AddListener(slots_.get()));
  TRY(memory_space_.AddListener(memory_doorbells_.get()));
  TRY(port_space_.AddListener(port_doorbells_.get()));

  return Ok();
}

Status Machine::CreateRam(Descriptors& fds) {
  std::vector<uint64_t> node_sizes;
  uint64_t total = 0;
  for (const v1::MemoryNode& node : config_.memory_nodes()) {
    if (node.size_bytes() == 0 || !IsAligned(node.size_bytes(), 4 * kKiB)) {
      return berth::Fail(Code::kInvalidArgument, "a memory node of {} bytes: a multiple of 4096 is needed",
                         node.size_bytes());
    }
    node_sizes.push_back(node.size_bytes());
    total += node.size_bytes();
  }
  if (total < kMiB) return berth::Fail(Code::kInvalidArgument, "a machine needs at least 1 MiB of memory");

  address_bits_ = TRY(PhysicalAddressBits(*system_));
  addresses_ = TRY(PlanAddressMap(total, address_bits_, 0, 0));
  for (const v1::MemoryNode& node : config_.memory_nodes()) {
    const std::vector<uint32_t> host_nodes(node.host_nodes().begin(), node.host_nodes().end());
    if (node.mergeable() && config_.vfio_container_fd_plus_one() != 0) {
      return berth::Fail(Code::kInvalidArgument, "memory that devices reach by DMA cannot be merged");
    }
    ram_blocks_.push_back(node.mergeable() ? TRY(RamBlock::CreateMergeable(node.size_bytes(), host_nodes))
                                           : TRY(RamBlock::Create(TRY(fds.Take(node.memory_fd())),
                                                                  node.size_bytes(), host_nodes)));
  }

  std::vector<RamRange> ranges;
  AddressSpace::Transaction change(memory_space_);
  for (const RamPiece& piece : PlanRam(node_sizes, addresses_)) {
    const HostMapping mapping = ram_blocks_[piece.node]->Slice(piece.block_offset, piece.size);
    ram_regions_.emplace_back(new Region(Region::Ram(fmt::format("ram node {}", piece.node), mapping)));
    ram_nodes_.push_back(piece.node);
    memory_space_.root().Add(ram_regions_.back().get(), piece.guest_address);
    ranges.push_back({piece.guest_address, mapping});
  }
  TRY(change.Commit());
  memory_ = std::make_unique<GuestMemory>(std::move(ranges));
  return Ok();
}

Status Machine::AddPorts(const char* name, uint16_t port, uint64_t count, IoHandler* handler) {
  regions_.emplace_back(new Region(Region::Io(name, count, handler)));
  AddressSpace::Transaction change(port_space_);
  port_space_.root().Add(regions_.back().get(), port);
  return change.Commit();
}

Status Machine::CreateChipset(Descriptors& fds) {
  UniqueFd log;
  if (config_.console().has_log()) log = TRY(fds.Take(config_.console().log_fd()));
  console_ = TRY(Console::Create(control_, std::move(log), [this](std::span<const uint8_t> typed) {
    const bool to_virtio =
        config_.console().source() == v1::ConsoleConfig::VIRTIO && devices_.console != nullptr;
    return to_virtio ? devices_.console->Input(typed) : serial_->Receive(typed);
  }));
  serial_ = std::make_unique<Serial>(interrupts_.get(), map::kGsiSerial, [this](uint8_t byte) {
    console_->Output({&byte, 1});
  });
  TRY(AddPorts("serial", map::kPortSerial, Serial::kPorts, serial_.get()));

  rtc_ = std::make_unique<Rtc>(
      [] { return std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()); });
  TRY(AddPorts("rtc", map::kPortRtc, Rtc::kPorts, rtc_.get()));

  power_ = std::make_unique<Power>(
      interrupts_.get(), map::kGsiEvents,
      PowerRequests{.power_off =
                        [this] {
                          vcpus_->RequestPause();
                          control_->Post([this] { SetState(v1::POWERED_OFF, "the guest powered off"); });
                        },
                    .reset = [this](const char* how) { RequestReset(how); },
                    .debug_exit =
                        [this](uint8_t code) {
                          vcpus_->RequestPause();
                          control_->Post([this, code] {
                            SetState(v1::POWERED_OFF, fmt::format("debug exit with code {}", code));
                          });
                        }});
  TRY(AddPorts("sleep", map::kPortSleepControl, 3, power_->sleep_handler()));
  TRY(AddPorts("reset", map::kPortReset, 1, power_->reset_handler()));
  TRY(AddPorts("keyboard", map::kPortKeyboard, 1, power_->keyboard_handler()));
  TRY(AddPorts("debug exit", map::kPortDebugExit, 1, power_->debug_exit_handler()));

  pvpanic_ = std::make_unique<Pvpanic>([this](uint8_t reported) {
    control_->Post([this, reported] {
      events_->Add(v1::Event::GUEST_PANICKED, {}, fmt::format("pvpanic events {:#x}", reported));
    });
  });
  return AddPorts("pvpanic", map::kPortPvpanic, 1, pvpanic_.get());
}

Status Machine::CreatePci() {
  pci_ = std::make_unique<PciHostBridge>(PciBus::Resources{
      &memory_space_, &memory_space_.root(), &port_space_, &port_space_.root(), interrupts_.get()});
  regions_.emplace_back(new Region(Region::Io("ecam", map::kEcam.size, pci_->ecam_handler())));
  {
    AddressSpace::Transaction change(memory_space_);
    memory_space_.root().Add(regions_.back().get(), map::kEcam.start);
    TRY(change.Commit());
  }
  // The reset register is in the middle of these: it has been there first, and lies over them.
  regions_.emplace_back(new Region(Region::Io("pci configuration", 8, pci_->port_handler())));
  AddressSpace::Transaction change(port_space_);
  port_space_.root().Add(regions_.back().get(), map::kPortPciAddress, -1);
  return change.Commit();
}

Status Machine::CreateDevices(Descriptors& fds) {
  io_loop_ = TRY(EventLoop::Create());
  io_engine_ = TRY(block::CreateIoEngine(io_loop_.get()));
  agent_ = std::make_unique<AgentChannel>(io_loop_.get());
  if (const uint32_t container = config_.vfio_container_fd_plus_one(); container != 0) {
    assigned_ = TRY(AssignedDevices::Create(
        TRY(fds.Take(container - 1)), vm_.get(), &memory_space_, control_,
        {.failed = [this](const std::string& id, const std::string& why) { DeviceFailed(id, why); },
         .requested = [this](const std::string& id) { DeviceRequested(id); }}));
  }
  // Devices have all of it pinned.
  if (HasAssigned()) {
    for (const auto& block : ram_blocks_) block->Populate(PopulatingThreads());
  }
  ports_ = std::make_unique<HotPlugPorts>(
      HotPlugPorts::Place{pci_.get(), &memory_space_, &port_space_, control_},
      HotPlugPorts::Callbacks{
          .gone = [this](const std::string& id, const std::string& why) { DeviceGone(id, why); },
          .declined = [this](const std::string& id) { DeviceDeclined(id); }});
  devices_ = TRY(DeviceBuilder({.memory = memory_.get(),
                                .io_loop = io_loop_.get(),
                                .io_engine = io_engine_.get(),
                                .interrupts = interrupts_.get(),
                                .vcpus = Topology(config_.cpus()).vcpus(),
                                .console = console_.get(),
                                .agent = agent_.get(),
                                .assigned = assigned_.get(),
                                .pinned = HasAssigned(),
                                .ports = ports_.get(),
                                .confine_image_thread = [this] { return Confine(ThreadKind::kImage); }},
                               &fds)
                     .Build(config_, pci_->root()));

  const std::vector<FunctionNeeds> needs = NeedsOf(pci_->root());
  const Memory64Needs memory64 = NeedsOfMemory64(needs);
  addresses_ = TRY(PlanDeviceWindow(memory64));
  layout_ = TRY(PlanLayout(needs, {map::kMmio32, addresses_.mmio64, map::kPciPorts}));
  ports_->SetWindows(layout_);
  return pci_->Locked([this] {
    ApplyLayout(pci_->root(), layout_);
    return Ok();
  });
}

// Within what the devices reach, so that they reach each other; else within what the CPU does.
Result<AddressMap> Machine::PlanDeviceWindow(const Memory64Needs& needs) const {
  const std::optional<unsigned> iommu = assigned_ ? assigned_->AddressBits() : std::nullopt;
  if (iommu && *iommu < address_bits_) {
    Result<AddressMap> plan = PlanAddressMap(memory_->size_bytes(), *iommu, needs.size, needs.largest);
    if (plan) return plan;
    LOG_WARNING("no peer-to-peer DMA: {}", plan.error().message());
  }
  return PlanAddressMap(memory_->size_bytes(), address_bits_, needs.size, needs.largest);
}

Status Machine::Confine(ThreadKind kind) const { return config_.sandbox() ? vmm::Confine(kind) : Ok(); }

Status Machine::StartIoThread() {
  std::promise<Status> confined;
  std::future<Status> result = confined.get_future();
  io_thread_ = std::thread([this, confined = std::move(confined)]() mutable {
    ::pthread_setname_np(::pthread_self(), "io0");
    io_tid_ = ::gettid();
    confined.set_value(Confine(ThreadKind::kIo));
    io_loop_->Run();
  });
  return result.get();
}

Status Machine::LoadFirmware() {
  acpi::Description description{
      .cpus = {},
      .memory = {},
      .nodes = static_cast<uint32_t>(config_.memory_nodes_size()),
      .distances = {},
      .pci_nodes = {},
      // Linux looks for a device in every place of every bus it is told of.
      .ecam = {map::kEcam.start, uint64_t{LastBus(layout_)} * kMiB + kMiB},
      .mmio32 = map::kMmio32,
      .mmio64 = addresses_.mmio64,
      .ports = map::kPciPorts,
      .io_apic_address = static_cast<uint32_t>(map::kIoApic.start),
      .local_apic_address = static_cast<uint32_t>(map::kLocalApic.start),
      .first_pci_gsi = map::kGsiPciFirst,
      .pci_gsi_count = map::kGsiPciCount,
      .port_sleep_control = map::kPortSleepControl,
      .port_reset = map::kPortReset,
      .reset_value = Power::kResetValue,
      .sleep_type_s5 = Power::kSleepTypeS5,
      .gsi_events = map::kGsiEvents,
      .event_power_button = Power::kEventPowerButton,
      .port_serial = map::kPortSerial,
      .port_rtc = map::kPortRtc,
      .port_pvpanic = map::kPortPvpanic,
      .gsi_serial = map::kGsiSerial,
      .gsi_rtc = map::kGsiRtc,
  };
  const kvm::CpuTopology topology = Topology(config_.cpus());
  for (uint32_t vcpu = 0; vcpu < topology.vcpus(); ++vcpu) {
    const auto& nodes = config_.cpus().node_of_vcpu();
    description.cpus.push_back({kvm::ApicId(topology, vcpu), vcpu < static_cast<uint32_t>(nodes.size())
                                                                 ? nodes[static_cast<int>(vcpu)]
                                                                 : 0});
  }
  for (size_t i = 0; i < ram_nodes_.size(); ++i) {
    const RamRange& range = memory_->ranges()[i];
    description.memory.push_back({{range.guest_address, range.mapping.size}, ram_nodes_[i]});
  }
  for (const v1::MemoryNode& node : config_.memory_nodes()) {
    for (uint32_t distance : node.distances())
      description.distances.push_back(static_cast<uint8_t>(distance));
  }
  description.pci_nodes = devices_.nodes;

  const acpi::Tables tables =
      TRY(acpi::BuildTables(description, map::kAcpiTables.start, map::kAcpiTables.size));
  const std::span bytes(reinterpret_cast<const uint8_t*>(tables.bytes.data()), tables.bytes.size());
  if (!memory_->Write(map::kAcpiTables.start, bytes)) {
    return berth::Fail(Code::kInvalidArgument, "a machine needs at least 1 MiB of memory on its first node");
  }
  rsdp_address_ = tables.rsdp_address;
  // mov dx, kPortReset; mov al, Power::kResetValue; out dx, al; hlt; jmp to the hlt
  static_assert(map::kPortReset == 0x0cf9 && Power::kResetValue == 6);
  static constexpr uint8_t kResetCode[] = {0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4, 0xeb, 0xfd};
  CHECK(memory_->Write(map::kResetVector, kResetCode));
  return Ok();
}

Status Machine::OpenBootFiles(Descriptors& fds) {
  kernel_fd_ = TRY(fds.Take(config_.boot().kernel_fd()));
  kernel_ = std::make_unique<FileSource>(TRY(FileSource::Create(kernel_fd_.get(), "kernel")));
  if (!config_.boot().has_initrd()) return Ok();
  initrd_fd_ = TRY(fds.Take(config_.boot().initrd_fd()));
  initrd_ = std::make_unique<FileSource>(TRY(FileSource::Create(initrd_fd_.get(), "initrd")));
  return Ok();
}

Status Machine::LoadKernel() {
  entry_ = TRY(LoadBoot({kernel_.get(), initrd_.get(), config_.boot().command_line()},
                        {memory_.get(), addresses_, rsdp_address_}));
  return Ok();
}

Status Machine::CreateVcpus() {
  const kvm::CpuTopology topology = Topology(config_.cpus());
  TRY(kvm::Vcpu::PrepareKicks());
  const std::vector<kvm::CpuidEntry> supported = TRY(system_->SupportedCpuid());
  const auto& nodes = config_.cpus().node_of_vcpu();
  const uint32_t node_shift = kvm::NodeShift(topology, {nodes.data(), static_cast<size_t>(nodes.size())});
  std::vector<std::unique_ptr<kvm::Vcpu>> vcpus;
  for (uint32_t i = 0; i < topology.vcpus(); ++i) {
    auto vcpu = TRY(kvm::Vcpu::Create(vm_.get(), i, kvm::ApicId(topology, i)));
    TRY(vcpu->SetCpuid(GuestCpuid(supported, {.topology = topology,
                                              .vcpu = i,
                                              .tsc_deadline_timer = system_->has_tsc_deadline_timer(),
                                              .tsc_khz = vcpu->tsc_khz(),
                                              .last_level_cache_shift = node_shift})));
    TRY(vcpu->Reset());
    vcpus.push_back(std::move(vcpu));
  }
  vcpus_ = std::make_unique<VcpuThreads>(
      std::move(vcpus), &memory_space_, &port_space_,
      VcpuCallbacks{
          .triple_fault = [this](uint32_t vcpu, const std::string& place) { TripleFault(vcpu, place); },
          .failed =
              [this](uint32_t vcpu, const std::string& why) {
                control_->Post([this, vcpu, why] { Fail(fmt::format("vCPU {}: {}", vcpu, why)); });
              },
          .confine = [this] { return Confine(ThreadKind::kVcpu); }});
  return EnterKernel();
}

void Machine::MapWhatIsThere() {
  uint64_t left = kPreFaultMost;
  for (const RamRange& range : memory_->ranges()) {
    for (const Range& run : ResidentRuns(range.mapping.address, range.mapping.size, left)) {
      const uint64_t mapped = vcpus_->vcpus().front()->PreFault(range.guest_address + run.start, run.size);
      if (mapped < run.size) return;
      left -= run.size;
    }
  }
}

Status Machine::EnterKernel() {
  kvm::Vcpu& first = *vcpus_->vcpus().front();
  if (const auto* linux_entry = std::get_if<LinuxEntry>(&entry_)) {
    return first.Enter(kvm::LongModeEntry{.rip = linux_entry->rip,
                                          .rsi = linux_entry->boot_params,
                                          .page_table_root = linux_entry->page_tables,
                                          .gdt_address = linux_entry->gdt,
                                          .gdt_limit = linux_entry->gdt_limit});
  }
  const auto& pvh = std::get<PvhEntry>(entry_);
  return first.Enter(kvm::ProtectedModeEntry{.eip = pvh.eip, .ebx = pvh.start_info});
}

Status Machine::Run() {
  if (state_ != v1::BUILT && state_ != v1::PAUSED) {
    return berth::Fail(Code::kFailedPrecondition, "the machine is {}, neither built nor paused",
                       v1::MachineState_Name(state_));
  }
  vcpus_->Resume();
  SetState(v1::RUNNING);
  return Ok();
}

Status Machine::Pause() {
  if (state_ != v1::RUNNING) {
    return berth::Fail(Code::kFailedPrecondition, "the machine is {}, not running",
                       v1::MachineState_Name(state_));
  }
  vcpus_->Pause();
  SetState(v1::PAUSED);
  return Ok();
}

void Machine::RequestReset(const std::string& why) {
  vcpus_->RequestPause();
  control_->Post([this, why] {
    if (const Status reset = Reset(why); !reset) Fail("reset: " + reset.error().message());
  });
}

// Nobody resets a machine so on purpose, but for old kernels.
void Machine::TripleFault(uint32_t vcpu, const std::string& place) {
  const std::string why =
      fmt::format("triple fault of vCPU {}{}{}", vcpu, place.empty() ? "" : " at ", place);
  LOG_WARNING_LIMITED("the guest reset its machine: {}", why);
  RequestReset(why);
}

Status Machine::Reset(const std::string& why) {
  TRY(CheckNotOver());
  vcpus_->Pause();
  if (config_.on_reset() == v1::ON_RESET_QUIT) {
    SetState(v1::POWERED_OFF, "the guest reset its machine: " + why);
    return Ok();
  }
  ports_->CompleteRemovals("the machine was reset");
  pci_->Reset();
  serial_->Reset();
  for (auto& vcpu : vcpus_->vcpus()) TRY(vcpu->Reset());
  TRY(ports_->PlanCards(&layout_));
  pci_->Locked([this] { ApplyLayout(pci_->root(), layout_); });
  TRY(LoadFirmware());
  TRY(LoadKernel());
  TRY(EnterKernel());
  events_->Add(v1::Event::GUEST_RESET, {}, why);
  vcpus_->Resume();
  SetState(v1::RUNNING);
  return Ok();
}

void Machine::FinishDisks() {
  vcpus_->Pause();
  CompleteImages();
}

void Machine::PressPowerButton() { power_->PressButton(); }

Status Machine::AttachConsole(UniqueFd stream) { return console_->Attach(std::move(stream)); }

Status Machine::AttachAgent(UniqueFd stream) {
  if (::fcntl(stream.get(), F_SETFL, O_NONBLOCK) != 0) return FailErrno(errno, "prepare an agent's stream");
  Status attached = Ok();
  io_loop_->Call([&] { attached = agent_->Attach(std::move(stream)); });
  return attached;
}

Status Machine::SetBalloon(uint64_t size_bytes) {
  if (devices_.balloon == nullptr) return NoBalloon();
  return devices_.balloon->SetTarget(size_bytes);
}

Result<v1::BalloonReport> Machine::ReadBalloon() const {
  if (devices_.balloon == nullptr) return NoBalloon();
  const BalloonState state = devices_.balloon->state();
  const BalloonStatistics said = devices_.balloon->statistics();
  devices_.balloon->RequestStatistics();
  v1::BalloonReport report;
  report.set_target_bytes(state.target_bytes);
  report.set_actual_bytes(state.actual_bytes);
  report.set_discarded_bytes(state.discarded_bytes);
  report.set_answers(said.updates);
  const auto tell = [&](BalloonStatistics::Tag tag, void (v1::BalloonReport::*set)(uint64_t)) {
    if (const auto& value = said.values[tag]) (report.*set)(*value);
  };
  tell(BalloonStatistics::kSwapIn, &v1::BalloonReport::set_swapped_in_bytes);
  tell(BalloonStatistics::kSwapOut, &v1::BalloonReport::set_swapped_out_bytes);
  tell(BalloonStatistics::kMajorFaults, &v1::BalloonReport::set_major_faults);
  tell(BalloonStatistics::kFree, &v1::BalloonReport::set_free_bytes);
  tell(BalloonStatistics::kTotal, &v1::BalloonReport::set_total_bytes);
  tell(BalloonStatistics::kAvailable, &v1::BalloonReport::set_available_bytes);
  tell(BalloonStatistics::kCaches, &v1::BalloonReport::set_cache_bytes);
  return report;
}

void Machine::Fail(const std::string& why) {
  LOG_ERROR("{}", why);
  vcpus_->Pause();
  SetState(v1::FAILED, why);
}

// Nobody who hears that the machine is over finds an image of its disks unfinished.
void Machine::CompleteImages() {
  EndDiskJobs();
  io_loop_->Call([this] {
    for (const auto& image : devices_.images) {
      const auto node = image.lock();
      if (!node) continue;
      if (const Status finished = node->WriteBack(); !finished) {
        LOG_WARNING("a disk's image: {}", finished.error().message());
      }
    }
  });
}

void Machine::SetState(v1::MachineState state, std::string text) {
  if (state == state_) return;
  if (state == v1::POWERED_OFF || state == v1::FAILED) CompleteImages();
  state_ = state;
  events_->SetState(state, std::move(text));
}

v1::Built Machine::Built() const {
  v1::Built built;
  for (pid_t tid : vcpus_->tids()) built.add_vcpu_tids(tid);
  built.add_io_tids(io_tid_);
  for (const v1::DeviceState& device : devices_.states) *built.add_devices() = device;
  return built;
}

v1::Counters Machine::Counters() const {
  v1::Counters counters;
  const auto add = [&counters](std::string name, uint64_t value) {
    v1::Counters::Counter* counter = counters.add_counters();
    counter->set_name(std::move(name));
    counter->set_value(value);
  };
  for (size_t i = 0; i < vcpus_->tids().size(); ++i) add(fmt::format("vcpu{}/exits", i), vcpus_->exits(i));
  for (const auto& [device, read] : devices_.counters) {
    for (const auto& [name, value] : read()) add(device + "/" + name, value);
  }
  add("memory/unclaimed", memory_space_.unclaimed());
  add("ports/unclaimed", port_space_.unclaimed());
  return counters;
}

}  // namespace berth::vmm

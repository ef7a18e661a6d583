// Tries vfio/ on a real kernel, without a guest: opens each device named, reads what it is, maps memory for
// its DMA, resets it and makes it interrupt. For the lab host, where the devices are known (edu, mtty, NICs,
// NVMe); what is not known is only described.
//
// usage: vfio_probe DEVICE...   (PCI addresses bound to vfio-pci, UUIDs of mediated devices)
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/log.h"
#include "hw/pci/pci_registers.h"
#include "tests/fakes/fake_pci_slot.h"
#include "vfio/device.h"
#include "vfio/device_interrupts.h"
#include "vfio/device_region.h"
#include "vfio/dma_listener.h"
#include "vfio/pci_function.h"
#include "vfio/type1_container.h"

namespace berth::vfio {
namespace {

int failures = 0;

void Check(bool good, std::string_view what) {
  fmt::print("  {} {}\n", good ? "ok  " : "FAIL", what);
  failures += good ? 0 : 1;
}
template <typename T>
bool Check(const Result<T>& result, std::string_view what) {
  Check(result.has_value(),
        result ? std::string(what) : fmt::format("{}: {}", what, result.error().ToString()));
  return result.has_value();
}

// Waits long: the lab host is an emulator.
bool Signalled(int eventfd) {
  pollfd wait{eventfd, POLLIN, 0};
  return ::poll(&wait, 1, 30'000) == 1 && DrainEventFd(eventfd) != 0;
}

constexpr uint64_t kRamSize = 16 * kMiB, kRamIova = kMiB;

struct Ram {
  UniqueFd fd{::memfd_create("ram", MFD_CLOEXEC)};
  uint8_t* bytes = nullptr;
  Ram() {
    CHECK(::ftruncate(fd.get(), kRamSize) == 0);
    void* mapped = ::mmap(nullptr, kRamSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    CHECK(mapped != MAP_FAILED);
    bytes = static_cast<uint8_t*>(mapped);
  }
};

std::string GroupOf(const std::string& device) {
  for (const char* bus : {"pci", "mdev"}) {
    const auto link = fmt::format("/sys/bus/{}/devices/{}/iommu_group", bus, device);
    if (std::filesystem::exists(link)) return std::filesystem::read_symlink(link).filename();
  }
  return "none";
}

struct Probe {
  Device* device;
  DeviceInterrupts* interrupts;
  DeviceRegion* config;
  Ram* ram;

  void Command(uint16_t value) { config->Write(0x04, 2, value); }

  void Describe() {
    fmt::print("  id {:04x}:{:04x}, {}resettable\n", config->Read(0, 2), config->Read(2, 2),
               device->resettable() ? "" : "not ");
    for (uint32_t i = 0; i < device->region_count(); ++i) {
      const Result<RegionInfo> region = device->Region(i);
      if (!Check(region, fmt::format("region {}", i)) || region->size == 0) continue;
      std::string areas;
      for (const Range& area : region->mappable) areas += fmt::format(" {:#x}+{:#x}", area.start, area.size);
      fmt::print(
          "       {:#x} bytes, maps{}{}{}\n", region->size, areas.empty() ? " nothing" : areas,
          region->msix_mappable ? ", MSI-X too" : "",
          region->type ? fmt::format(", type {:#x}/{:#x}", region->type->type, region->type->subtype) : "");
    }
    auto interrupt = [](const InterruptInfo& info) {
      return fmt::format("{}{}{}{}", info.count, info.maskable ? " maskable" : "",
                         info.automasked ? " automasked" : "", info.no_resize ? " noresize" : "");
    };
    fmt::print("       INTx {}, MSI {}, MSI-X {}\n", interrupt(interrupts->intx()),
               interrupt(interrupts->msi()), interrupt(interrupts->msix()));
    const auto dependents = device->HotResetDependents();
    fmt::print("       hot reset: {}\n",
               dependents ? fmt::format("{} functions", dependents->size()) : dependents.error().message());
  }

  void Resets() {
    if (!device->resettable()) return;
    Check(device->Reset(), "reset");
    Check(config->Read(0, 4) != 0xffffffff && config->Read(8, 4) != 0xffffffff, "is there after the reset");
  }

  void Maps() {
    for (uint32_t i = 0; i < VFIO_PCI_ROM_REGION_INDEX; ++i) {
      const Result<RegionInfo> info = device->Region(i);
      if (!info || info->mappable.empty()) continue;
      DeviceRegion region(device, *info);
      if (!Check(region.Map(info->mappable), fmt::format("map BAR {}", i))) continue;
      Command(0x2);
      // Not the first page, where MSI-X tables are that read as ones through the descriptor; nor the last,
      // which the kernel's sample display cannot read without an oops.
      const uint64_t at = info->mappable[0].size > 0x1000 ? 0x1000 : 0;
      const uint32_t mapped = *reinterpret_cast<volatile uint32_t*>(region.mapped()[0].address + at);
      Check(mapped == region.Read(info->mappable[0].start + at, 4),
            fmt::format("BAR {} reads alike both ways", i));
      Command(0);
    }
  }

  void Msix() {
    if (interrupts->msix().count == 0) return;
    const UniqueFd first = std::move(*CreateEventFd()), second = std::move(*CreateEventFd());
    Check(interrupts->EnableMsix(first.get()), "enable MSI-X without a vector");
    Check(interrupts->ConnectMsix(0, first.get()), "connect vector 0");
    const unsigned last = interrupts->msix().count - 1;
    Check(interrupts->ConnectMsix(last, second.get()), fmt::format("connect vector {}", last));
    // Once a trigger is connected, the kernel signals it on request: its loopback test.
    vfio_irq_set set{.argsz = sizeof(set),
                     .flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
                     .index = VFIO_PCI_MSIX_IRQ_INDEX,
                     .start = last,
                     .count = 1};
    DrainEventFd(second.get());
    Check(Ioctl(device->syscalls(), device->fd(), VFIO_DEVICE_SET_IRQS, &set) == 0 && Signalled(second.get()),
          "loopback of that vector");
    Check(interrupts->ConnectMsix(last, -1), "disconnect it");
    interrupts->Disable();
    if (interrupts->intx().count != 0) {
      Check(interrupts->EnableIntx(first.get()), "INTx after MSI-X");
      interrupts->Disable();
    }
  }

  // 1234:11e8 (QEMU's docs/specs/edu.rst).
  void Edu() {
    DeviceRegion bar(device, *device->Region(0));
    Command(0x6);
    Check(bar.Read(0, 4) == 0x010000ed, "edu: identification");
    bar.Write(4, 4, 0x12345678);
    Check(bar.Read(4, 4) == static_cast<uint32_t>(~0x12345678), "edu: liveness");

    const UniqueFd trigger = std::move(*CreateEventFd()), resample = std::move(*CreateEventFd());
    Check(interrupts->EnableIntx(trigger.get()), "edu: enable INTx");
    Check(interrupts->ConnectIntxUnmask(resample.get()), "edu: unmask by eventfd");
    bar.Write(0x60, 4, 1);
    Check(Signalled(trigger.get()), "edu: INTx arrives");
    SignalEventFd(resample.get());
    Check(Signalled(trigger.get()), "edu: INTx arrives again after the unmask, being still up");
    bar.Write(0x64, 4, 1);
    SignalEventFd(resample.get());
    pollfd wait{trigger.get(), POLLIN, 0};
    Check(::poll(&wait, 1, 200) == 0, "edu: INTx stays away once acknowledged");
    const int one[] = {trigger.get()};
    const Result<unsigned> msi = interrupts->EnableMsi(one);
    Check(msi && *msi == 1, "edu: from INTx to MSI");
    bar.Write(0x60, 4, 2);
    Check(Signalled(trigger.get()), "edu: MSI arrives");
    bar.Write(0x64, 4, 2);

    // RAM to the device's buffer, and from there to other RAM.
    for (unsigned i = 0; i < 4096; ++i) ram->bytes[i] = static_cast<uint8_t>(i * 7);
    auto dma = [&](uint64_t source, uint64_t target, uint64_t command) {
      bar.Write(0x80, 8, source);
      bar.Write(0x88, 8, target);
      bar.Write(0x90, 8, 4096);
      bar.Write(0x98, 8, command | 4 | 1);
      const bool done = Signalled(trigger.get());
      bar.Write(0x64, 4, 0x100);
      return done;
    };
    Check(dma(kRamIova, 0x40000, 0), "edu: DMA from RAM, with its interrupt");
    Check(dma(0x40000, kRamIova + 8 * kMiB, 2), "edu: DMA to RAM, with its interrupt");
    Check(std::memcmp(ram->bytes, ram->bytes + 8 * kMiB, 4096) == 0, "edu: what came back is what went");
    interrupts->Disable();
    Command(0);
  }

  // 4348:3253, the kernel's sample serial card.
  void Mtty() {
    DeviceRegion port(device, *device->Region(0));
    const UniqueFd trigger = std::move(*CreateEventFd()), resample = std::move(*CreateEventFd());
    Check(interrupts->EnableIntx(trigger.get()), "mtty: enable INTx");
    const Status unmask = interrupts->ConnectIntxUnmask(resample.get());
    Check(!unmask && unmask.error().code() == Code::kUnimplemented, "mtty: has no unmask eventfd");
    port.Write(1, 1, 2);  // Interrupt when the transmitter is empty, which it is.
    Check(Signalled(trigger.get()), "mtty: INTx arrives");
    Check(interrupts->UnmaskIntx(), "mtty: unmask");
    port.Write(1, 1, 2);
    Check(Signalled(trigger.get()), "mtty: INTx arrives again");
    const int one[] = {trigger.get()};
    Check(interrupts->EnableMsi(one), "mtty: from INTx to MSI");
    port.Write(1, 1, 2);
    Check(Signalled(trigger.get()), "mtty: MSI arrives");
    interrupts->Disable();
  }
};

// The guest's side of a function: its BARs where it puts them, its registers, its interrupts.
struct Guest {
  EventLoop* loop = nullptr;
  hw::FakePciSlot slot;
  std::unique_ptr<VfioPciFunction> function;
  hw::ViewReader memory{slot.memory_space()}, io{slot.io_space()};

  static constexpr uint64_t kMemory = 0xc0000000, kPorts = 0xc000;
  uint64_t bar[7] = {};

  // Every BAR to a place of its own, decoding on.
  void Place() {
    uint64_t at = kMemory, port = kPorts;
    for (const hw::BarRequest& request : function->bars()) {
      uint64_t& next = request.io ? port : at;
      next = AlignUp(next, std::max(request.size, request.alignment));
      bar[request.index] = next;
      const auto reg = static_cast<uint16_t>(request.index == 6 ? 0x30 : 0x10 + 4 * request.index);
      function->WriteConfig(reg, 4, static_cast<uint32_t>(next) | (request.index == 6 ? 1 : 0));
      next += request.size;
    }
    function->WriteConfig(0x04, 2, 0x7);
  }
  uint16_t Capability(uint8_t id) {
    for (uint32_t at = function->ReadConfig(0x34, 1); at != 0;
         at = function->ReadConfig(static_cast<uint16_t>(at + 1), 1)) {
      if (function->ReadConfig(static_cast<uint16_t>(at), 1) == id) return static_cast<uint16_t>(at);
    }
    return 0;
  }

  void Check(const std::string& name) {
    const uint32_t id = function->ReadConfig(0, 4);
    fmt::print("  as a function: id {:04x}:{:04x}, class {:06x}, {} BARs, pin {}\n", id & 0xffff, id >> 16,
               function->ReadConfig(8, 4) >> 8, function->bars().size(), function->ReadConfig(0x3d, 1));
    vfio::Check(id != 0xffffffff, "is there");
    Place();
    if (id == 0x11e81234) CheckEdu();
    if (id == 0x32534348) CheckMtty();
    if (const uint16_t msix = Capability(hw::pci::kCapMsix)) CheckMsix(msix);
    if (bar[6] != 0) vfio::Check(memory.Read(bar[6], 2) == 0xaa55, "its ROM has the signature");
    function->Reset();
    vfio::Check(function->ReadConfig(0x04, 2) == 0, "is quiet after a reset");
    vfio::Check(function->ReadConfig(0, 4) == id, name + " is there after a reset");
    Place();
    function->WriteConfig(0x04, 2, 0);
  }

  void CheckMsix(uint16_t at) {
    const uint64_t table = bar[function->ReadConfig(at + 4, 4) & 7] + (function->ReadConfig(at + 4, 4) & ~7u);
    const unsigned last = function->ReadConfig(at + 2, 2) & 0x7ff;
    memory.Write(table + 16 * last, 4, 0xfee00000);
    memory.Write(table + 16 * last + 8, 8, 0x4055);
    vfio::Check(memory.Read(table + 16 * last + 8, 4) == 0x4055, "the MSI-X table is the guest's");
    function->WriteConfig(at + 2, 2, 0x8000);
    function->WriteConfig(at + 2, 2, 0);
    function->WriteConfig(at + 2, 2, 0x8000);
    vfio::Check(function->ReadConfig(at + 2, 2) == (0x8000 | last), "MSI-X goes on, off and on");
  }

  bool Interrupted(hw::FakeIntxLine* line) { return Signalled(line->trigger_eventfd()); }

  void CheckEdu() {
    vfio::Check(memory.Read(bar[0], 4) == 0x010000ed, "edu: identification through the guest's BAR");
    hw::FakeIntxLine* line = slot.fake_interrupts().line();
    memory.Write(bar[0] + 0x60, 4, 1);
    vfio::Check(Interrupted(line), "edu: INTx reaches the guest's line");
    line->Acknowledge();
    vfio::Check(Interrupted(line), "edu: and again after its end, being still up");
    memory.Write(bar[0] + 0x64, 4, 1);
    line->Acknowledge();
    const uint16_t msi = Capability(hw::pci::kCapMsi);
    function->WriteConfig(msi + 4, 4, 0xfee00000);
    function->WriteConfig(msi + 2, 2, 1);
    memory.Write(bar[0] + 0x60, 4, 2);
    vfio::Check(Signalled(slot.fake_interrupts().vector(0)->eventfd()),
                "edu: MSI reaches the guest's vector");
    memory.Write(bar[0] + 0x64, 4, 2);
    function->WriteConfig(msi + 2, 2, 0);
    memory.Write(bar[0] + 0x60, 4, 4);
    vfio::Check(Interrupted(line), "edu: INTx is back after MSI");
    memory.Write(bar[0] + 0x64, 4, 4);
  }

  // Whether the line is, or comes, up. It is raised on the loop.
  bool Raised() {
    bool up = false;
    for (int i = 0; i < 300 && !up; ++i) {
      if (i > 0) ::poll(nullptr, 0, 100);
      loop->Call([&] { up = slot.fake_interrupts().levels[slot.IntxGsi(1)]; });
    }
    return up;
  }

  // Its driver cannot unmask INTx by an eventfd: the next access does.
  void CheckMtty() {
    io.Write(bar[0] + 1, 1, 2);
    vfio::Check(Raised(), "mtty: INTx raises the guest's line");
    io.Read(bar[0] + 2, 1);
    vfio::Check(!slot.fake_interrupts().levels[slot.IntxGsi(1)], "mtty: an access lowers it");
    io.Write(bar[0] + 1, 1, 2);
    vfio::Check(Raised(), "mtty: which it can raise again");
    io.Write(bar[0] + 7, 1, 0x5a);
  }
};

struct Observer final : FunctionObserver {
  void DeviceFailed(const std::string& name, const std::string& why) override {
    Check(false, name + ": " + why);
  }
  void DeviceRequested(const std::string& name) override { fmt::print("       {} is wanted back\n", name); }
};

Status ProbeFunction(Type1Container* container, const std::string& name, EventLoop* loop,
                     Observer* observer) {
  UniqueFd group_fd = TRY(Open("/dev/vfio/" + GroupOf(name), O_RDWR));
  std::shared_ptr<Group> group = TRY(Group::Create(std::move(group_fd), container, nullptr));
  Guest guest;
  guest.loop = loop;
  guest.slot.root_port = true;
  guest.function = TRY(CreateVfioPciFunction(
      {.name = name, .group = std::move(group), .device_name = name, .loop = loop, .observer = observer}));
  // BARs are mapped for DMA between devices as well.
  DmaListener dma(container);
  TRY(guest.slot.memory_space().AddListener(&dma));
  TRY(guest.function->Attach(&guest.slot));
  guest.Check(name);
  const VfioPciFunction::Counters counters = guest.function->counters();
  fmt::print("       {} trapped reads, {} trapped writes, {} failed, {} resets\n", counters.trapped_reads,
             counters.trapped_writes, counters.failed_accesses, counters.resets);
  guest.slot.memory_space().RemoveListener(&dma);
  guest.function.reset();
  return Ok();
}

Status ProbeDevice(Type1Container* container, const std::string& name, Ram* ram) {
  UniqueFd group_fd = TRY(Open("/dev/vfio/" + GroupOf(name), O_RDWR));
  std::shared_ptr<Group> group = TRY(Group::Create(std::move(group_fd), container, nullptr));
  const DmaLimits limits = TRY(container->Limits());
  fmt::print("  pages {:#x}, {} mappings left, {} address ranges\n", limits.page_sizes,
             limits.available_mappings.value_or(0), limits.valid.size());
  for (const Range& range : limits.valid) fmt::print("       {:#x}-{:#x}\n", range.start, range.end() - 1);
  // Where interrupts are written no memory can be.
  const Status reserved = container->Map({.iova = 0xfee00000, .address = ram->bytes, .size = kMiB});
  if (!limits.valid.empty()) Check(!reserved, reserved ? "reserved addresses" : reserved.error().message());
  if (reserved) Check(container->Unmap({0xfee00000, kMiB}), "unmap");

  std::unique_ptr<Device> device = TRY(Device::Open(std::move(group), name));
  std::unique_ptr<DeviceInterrupts> interrupts = TRY(DeviceInterrupts::Create(device.get()));
  DeviceRegion config(device.get(), TRY(device->Region(VFIO_PCI_CONFIG_REGION_INDEX)));
  Probe probe{device.get(), interrupts.get(), &config, ram};
  probe.Describe();
  probe.Resets();
  probe.Maps();
  probe.Msix();
  const uint64_t id = config.Read(0, 4);
  if (id == 0x11e81234) probe.Edu();
  if (id == 0x32534348) probe.Mtty();
  const UniqueFd request = std::move(*CreateEventFd());
  const Status connected = interrupts->ConnectRequest(request.get());
  fmt::print("       requests: {}\n", connected ? "reported" : connected.error().message());
  return Ok();
}

int Main(int argc, char** argv) {
  Ram ram;
  Result<UniqueFd> fd = Open("/dev/vfio/vfio", O_RDWR);
  if (!Check(fd, "open the container")) return 1;
  auto container = Type1Container::Create(std::move(*fd));
  if (!Check(container, "container")) return 1;
  // Before there is any group, and kept from one device to the next.
  Check((*container)->Map({.iova = kRamIova, .address = ram.bytes, .size = kRamSize}), "map 16 MiB");
  for (int i = 1; i < argc; ++i) {
    fmt::print("{}\n", argv[i]);
    Check(ProbeDevice(container->get(), argv[i], &ram), "done");
  }
  auto loop = EventLoop::Create();
  if (!Check(loop, "event loop")) return 1;
  std::thread thread([&] { (*loop)->Run(); });
  Observer observer;
  for (int i = 1; i < argc; ++i) {
    fmt::print("{}\n", argv[i]);
    Check(ProbeFunction(container->get(), argv[i], loop->get(), &observer), "done");
  }
  (*loop)->Stop();
  thread.join();
  fmt::print("{} failures\n", failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace berth::vfio

int main(int argc, char** argv) { return berth::vfio::Main(argc, argv); }

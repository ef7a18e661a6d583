#include "vfio/pci_function.h"

#include <linux/vfio.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "hw/pci/pci_registers.h"
#include "vfio/monitor.h"
#include "vfio/pci_capabilities.h"
#include "vfio/quirks.h"
#include "vfio/trace.h"

namespace berth::vfio {
namespace {

namespace pci = hw::pci;
constexpr uint16_t kConfigSize = 4096, kHeaderSize = 0x40;

}  // namespace

Result<std::unique_ptr<VfioPciFunction>> CreateVfioPciFunction(VfioFunctionOptions options) {
  std::unique_ptr<Device> device = TRY(Device::Open(options.group, options.device_name));
  if (!device->is_pci()) return Fail(Code::kUnimplemented, "{} is no PCI device", options.device_name);
  RegionInfo config = TRY(device->Region(VFIO_PCI_CONFIG_REGION_INDEX));
  // The device holds the group from here on.
  options.group.reset();
  if (options.name.empty()) options.name = options.device_name;
  const std::string name = options.device_name;
  std::unique_ptr<VfioPciFunction> function(
      new VfioPciFunction(std::move(options), std::move(device), std::move(config)));
  TRY(Context(function->ReadDevice(), name));
  TRY(Context(function->CreateBars(), name));
  TRY(ConnectMonitor(*function->device_, function->options_.monitor));
  return function;
}

VfioPciFunction::VfioPciFunction(VfioFunctionOptions options, std::unique_ptr<Device> device,
                                 RegionInfo config)
    : options_(std::move(options)),
      device_(std::move(device)),
      config_region_(device_.get(), std::move(config)) {
  if (options_.neighbours) options_.neighbours->Add(device_.get(), &untouched_);
}

VfioPciFunction::~VfioPciFunction() {
  for (const UniqueFd* watched : {&error_, &request_}) {
    if (*watched) options_.loop->Call([&] { options_.loop->Unwatch(watched->get()); });
  }
  Detach();
  if (options_.neighbours) options_.neighbours->Remove(device_.get());
}

// First nothing interrupts the guest any more, then the guest sees nothing more, and other devices reach it
// no more; with this object the device's memory goes, then the device, then its group if it was the last
// there.
void VfioPciFunction::Detach() {
  if (slot_ == nullptr) return;
  if (interrupts_) interrupts_->Stop();
  if (interrupts_ && interrupts_->trapped_intx() != nullptr) interrupts_->trapped_intx()->SetMemory(nullptr);
  bars_.Reset();
  slot_ = nullptr;
}

void VfioPciFunction::SetMapped(bool mapped) {
  hw::AddressSpace::Transaction change(slot_->memory_space());
  for (const auto& bar : function_bars_) bar->SetMapped(mapped);
}

Status VfioPciFunction::ReadDevice() {
  config_.resize(std::min<uint64_t>(config_region_.info().size, kConfigSize));
  if (config_.size() < kHeaderSize || config_region_.ReadBytes(0, config_) != config_.size()) {
    return Fail(Code::kInternal, "its configuration space of {} bytes cannot be read", config_.size());
  }
  if (!IsThere(&config_region_)) {
    return Fail(Error(Code::kInternal, "the device does not answer: its configuration space reads as ones")
                    .Reason("DEVICE_LOST"));
  }
  // Whether it can be shown at all; where it will be does not matter for that.
  ConfigOverlay unused;
  TRY(BuildConfig(config_, {.identity = options_.identity, .gpudirect_clique = options_.gpudirect_clique},
                  &unused));
  const auto capabilities = FindCapabilities(config_);
  std::optional<MsixPlan> msix;
  if (const auto offset = OffsetOf(capabilities, pci::kCapMsix)) {
    msix = ReadMsix(config_, *offset, TRY(device_->Interrupts(VFIO_PCI_MSIX_IRQ_INDEX)).count);
  }
  if (const auto offset = OffsetOf(capabilities, pci::kCapMsi)) {
    msi_shape_ = ReadMsi(config_, *offset, TRY(device_->Interrupts(VFIO_PCI_MSI_IRQ_INDEX)).count);
  }
  std::vector<RegionInfo> regions;
  for (uint32_t i = 0; i <= VFIO_PCI_ROM_REGION_INDEX; ++i) regions.push_back(TRY(device_->Region(i)));
  RegionInfo& rom = regions[VFIO_PCI_ROM_REGION_INDEX];
  const bool no_rom = QuirksOf(LoadLe<uint16_t>(&config_[0]), LoadLe<uint16_t>(&config_[2])).no_rom;
  if (!options_.rom.empty()) {
    rom.size = options_.rom.size();
  } else if (!options_.show_rom || no_rom) {
    rom.size = 0;
  }
  plan_ = TRY(PlanFunction(config_, regions, msix, options_.relocate_msix));
  if (msix && !plan_.msix) LOG_WARNING("{}: no place for its MSI-X structures", device_->name());
  return Ok();
}

Status VfioPciFunction::CreateBars() {
  const uint16_t shown_vendor =
      options_.identity.vendor_id.value_or(LoadLe<uint16_t>(&config_[pci::kVendorId]));
  const uint16_t shown_device =
      options_.identity.device_id.value_or(LoadLe<uint16_t>(&config_[pci::kDeviceId]));
  for (const BarPlan& plan : plan_.bars) {
    const bool made_up = plan_.msix && plan_.msix->relocated && plan.request.index == plan_.msix->table_bar;
    RegionInfo info{.index = plan.request.index};
    if (!made_up) info = TRY(device_->Region(plan.request.index));
    function_bars_.push_back(TRY(FunctionBar::Create(device_.get(), plan, std::move(info))));
    FunctionBar& bar = *function_bars_.back();
    if (plan.request.index == hw::Bars::kRomIndex) {
      rom_ = options_.rom.empty()
                 ? std::make_unique<RomImage>(bar.device_region(), shown_vendor, shown_device)
                 : std::make_unique<RomImage>(options_.rom);
      bar.PutOnTop("ROM", 0, plan.request.size, rom_.get());
    }
    bars_.Define(plan.request, bar.region());
  }
  return Ok();
}

Status VfioPciFunction::Attach(hw::PciSlot* slot) {
  slot_ = slot;
  bars_.Attach(slot);
  const uint8_t pin = config_[pci::kInterruptPin];
  const InterruptInfo intx = TRY(device_->Interrupts(VFIO_PCI_INTX_IRQ_INDEX));
  FunctionInterrupts::Shape shape{.msi = msi_shape_, .msix_vectors = plan_.msix ? plan_.msix->vectors : 0};
  if (intx.count > 0 && pin >= 1 && pin <= 4) shape.pin = pin;
  interrupts_ = TRY(FunctionInterrupts::Create(device_.get(), shape, slot, options_.loop));
  if (TrappedIntx* const intx_line = interrupts_->trapped_intx()) {
    for (const auto& bar : function_bars_) {
      bar->device_region()->OnAccess([intx_line] { intx_line->OnAccess(); });
    }
    intx_line->SetMemory([this](bool shown) { SetMapped(shown); });
  }
  for (const auto& bar : function_bars_) {
    hw::Msix* const msix = interrupts_->msix();
    if (msix == nullptr) break;
    const MsixPlan& plan = *plan_.msix;
    if (bar->request().index == plan.table_bar) {
      bar->PutOnTop("MSI-X table", plan.table_offset, msix->table_size(), msix->table_handler());
    }
    if (bar->request().index == plan.pba_bar) {
      bar->PutOnTop("MSI-X pending bits", plan.pba_offset, msix->pba_size(), msix->pba_handler());
    }
  }
  const ConfigFacts facts{.behind_root_port = slot->behind_root_port(),
                          .interrupt_pin = interrupts_->has_intx() ? pin : uint8_t{0},
                          .has_msi = interrupts_->msi() != nullptr,
                          .msix = plan_.msix,
                          .identity = options_.identity,
                          .gpudirect_clique = options_.gpudirect_clique};
  layout_ = TRY(BuildConfig(config_, facts, &overlay_));
  TRY(WatchErrorsAndRequests());
  Reset();
  if (!IsThere(&config_region_)) {
    return Fail(Error(Code::kInternal, fmt::format("{} does not answer after its reset", device_->name()))
                    .Reason("DEVICE_LOST"));
  }
  return Ok();
}

Status VfioPciFunction::WatchErrorsAndRequests() {
  UniqueFd error = TRY(CreateEventFd()), request = TRY(CreateEventFd());
  if (interrupts_->device().ConnectError(error.get())) {
    error_ = std::move(error);
    TRY(Watch(error_, [this] {
      if (options_.observer)
        options_.observer->DeviceFailed(name(), "the device reports an uncorrectable error");
    }));
  }
  if (interrupts_->device().ConnectRequest(request.get())) {
    request_ = std::move(request);
    TRY(Watch(request_, [this] {
      if (options_.observer) options_.observer->DeviceRequested(name());
    }));
  }
  return Ok();
}

Status VfioPciFunction::Watch(const UniqueFd& eventfd, std::function<void()> callback) {
  Status watching = Ok();
  options_.loop->Call([&] {
    watching = options_.loop->Watch(eventfd.get(), EPOLLIN, [fd = eventfd.get(), callback](uint32_t) {
      DrainEventFd(fd);
      callback();
    });
  });
  return watching;
}

void VfioPciFunction::Reset() {
  if (untouched_) return;
  interrupts_->Stop();
  bars_.Reset();
  overlay_.Reset();
  ResetHardware();
  awake_ = true;
  interrupts_->Restart();
  untouched_ = true;
}

void VfioPciFunction::ResetHardware() {
  resets_.fetch_add(1, std::memory_order_relaxed);
  const Result<std::string_view> how = ResetDevice(
      *device_, &config_region_,
      {.power_capability = layout_.power, .skip = options_.skip_reset, .neighbours = options_.neighbours});
  if (!how) {
    LOG_ERROR("{}", how.error().message());
    if (options_.observer) options_.observer->DeviceFailed(name(), how.error().message());
  } else if (*how == "none" && !options_.skip_reset) {
    LOG_WARNING_LIMITED("{} cannot be reset: it keeps its state, and is only kept from DMA", device_->name());
  }
}

VfioPciFunction::Counters VfioPciFunction::counters() const {
  Counters counters{.failed_accesses = config_region_.failures(),
                    .config_reads = config_reads_.load(std::memory_order_relaxed),
                    .config_writes = config_writes_.load(std::memory_order_relaxed),
                    .resets = resets_.load(std::memory_order_relaxed)};
  for (const auto& bar : function_bars_) {
    counters.trapped_reads += bar->device_region()->reads();
    counters.trapped_writes += bar->device_region()->writes();
    counters.failed_accesses += bar->device_region()->failures();
  }
  return counters;
}

}  // namespace berth::vfio

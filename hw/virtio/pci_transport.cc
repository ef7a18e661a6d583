#include "hw/virtio/pci_transport.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "hw/pci/bars.h"
#include "hw/pci/express.h"
#include "hw/pci/msix.h"
#include "hw/virtio/common_config.h"

namespace berth::hw {
namespace {

// The BAR. Each structure has a page, so that a hypervisor could treat them differently.
constexpr unsigned kBar = 0;
constexpr uint32_t kCommonOffset = 0x0000, kIsrOffset = 0x1000, kDeviceOffset = 0x2000,
                   kDoorbellOffset = 0x3000, kMsixOffset = 0x4000, kPage = 0x1000;
constexpr uint32_t kDoorbellStride = 4;
constexpr unsigned kMaxQueues = kPage / kDoorbellStride;

// Types of virtio's vendor capabilities (4.1.4).
enum class Structure : uint8_t { kCommon = 1, kNotify = 2, kIsr = 3, kDevice = 4, kPciConfig = 5 };
// In a capability, from its start (struct virtio_pci_cap).
constexpr unsigned kCapBar = 4, kCapOffset = 8, kCapLength = 12, kCapData = 16;

PciIdentity IdentityOf(VirtioType type) {
  uint32_t class_code = 0x00ff00;  // Not otherwise classified.
  switch (type) {
    case VirtioType::kNet:
      class_code = 0x020000;  // Ethernet.
      break;
    case VirtioType::kBlock:
    case VirtioType::kScsi:
      class_code = 0x010000;  // SCSI storage.
      break;
    case VirtioType::kConsole:
      class_code = 0x078000;  // Other communication.
      break;
    default:
      break;
  }
  const auto device_id = static_cast<uint16_t>(0x1040 + static_cast<uint16_t>(type));
  return {.vendor_id = 0x1af4,
          .device_id = device_id,
          .subsystem_vendor_id = 0x1af4,
          .subsystem_id = device_id,
          .class_code = class_code,
          .revision_id = 1};
}

class IsrHandler final : public IoHandler {
 public:
  explicit IsrHandler(CommonConfig* common) : common_(*common) {}
  uint64_t Read(uint64_t offset, unsigned) override { return offset == 0 ? common_.TakeIsr() : 0; }
  void Write(uint64_t, unsigned, uint64_t) override {}

 private:
  CommonConfig& common_;
};

class DeviceConfigHandler final : public IoHandler {
 public:
  explicit DeviceConfigHandler(CommonConfig* common) : common_(*common) {}
  uint64_t Read(uint64_t offset, unsigned size) override { return common_.ReadDevice(offset, size); }
  void Write(uint64_t offset, unsigned size, uint64_t value) override {
    common_.WriteDevice(offset, size, value);
  }

 private:
  CommonConfig& common_;
};

// Where the hypervisor has no ioeventfd for a doorbell, or the driver rings through configuration space.
class DoorbellHandler final : public IoHandler {
 public:
  explicit DoorbellHandler(CommonConfig* common) : common_(*common) {}
  uint64_t Read(uint64_t, unsigned) override { return 0; }
  void Write(uint64_t offset, unsigned, uint64_t) override {
    if (offset % kDoorbellStride != 0 || offset / kDoorbellStride >= common_.queue_count()) return;
    SignalEventFd(common_.doorbell(static_cast<unsigned>(offset / kDoorbellStride)));
  }

 private:
  CommonConfig& common_;
};

class VirtioPciFunction final : public PciFunction {
 public:
  VirtioPciFunction(std::string name, VirtioType type, std::unique_ptr<Msix> msix,
                    std::unique_ptr<CommonConfig> common)
      : name_(std::move(name)),
        msix_(std::move(msix)),
        common_(std::move(common)),
        isr_handler_(common_.get()),
        device_handler_(common_.get()),
        doorbell_handler_(common_.get()),
        pba_offset_(static_cast<uint32_t>(AlignUp(kMsixOffset + msix_->table_size(), kPage))),
        bar_(Region::Container(name_, std::bit_ceil(pba_offset_ + msix_->pba_size()))),
        common_region_(Region::Io(name_ + " common", CommonConfig::kSize, common_.get())),
        isr_region_(Region::Io(name_ + " isr", 1, &isr_handler_)),
        device_region_(Region::Io(name_ + " config", kPage, &device_handler_)),
        doorbell_region_(Region::Io(name_ + " doorbells", doorbells_size(), &doorbell_handler_)),
        table_region_(Region::Io(name_ + " msix table", msix_->table_size(), msix_->table_handler())),
        pba_region_(Region::Io(name_ + " msix pba", msix_->pba_size(), msix_->pba_handler())),
        config_(IdentityOf(type)) {
    FillBar();
    AddCapabilities();
  }
  ~VirtioPciFunction() override {
    if (slot_ != nullptr) bars_.Update(false, false);
  }

  const std::string& name() const override { return name_; }
  std::span<const BarRequest> bars() const override { return bars_.requests(); }

  Status Attach(PciSlot* slot) override {
    slot_ = slot;
    bars_.Attach(slot);
    express_ = AddExpressEndpoint(&config_, slot->behind_root_port());
    return Ok();
  }

  uint32_t ReadConfig(uint16_t offset, unsigned size) override {
    if (Bars::Holds(offset)) return bars_.ReadConfig(offset, size);
    if (Touches(offset, size, window_ + kCapData, 4)) ReadThroughWindow();
    return config_.Read(offset, size);
  }

  void WriteConfig(uint16_t offset, unsigned size, uint32_t value) override {
    if (Bars::Holds(offset)) {
      bars_.WriteConfig(offset, size, value);
      return UpdateBars();
    }
    config_.Write(offset, size, value);
    if (Touches(offset, size, pci::kCommand, 2)) UpdateBars();
    if (Touches(offset, size, msix_capability_, 4)) SetMsixControl();
    if (Touches(offset, size, window_ + kCapData, 4)) WriteThroughWindow();
    if (TakeFunctionLevelReset(&config_, express_)) Reset();
  }

  void Reset() override {
    common_->Reset();
    msix_->Reset();
    config_.ClearWritable();
    bars_.Reset();
  }

 private:
  uint32_t doorbells_size() const { return std::max(common_->queue_count(), 1u) * kDoorbellStride; }
  static bool Touches(uint16_t offset, unsigned size, unsigned start, unsigned length) {
    return Range{offset, size}.Overlaps({start, length});
  }

  void FillBar() {
    bar_.Add(&common_region_, kCommonOffset);
    bar_.Add(&isr_region_, kIsrOffset);
    bar_.Add(&device_region_, kDeviceOffset);
    bar_.Add(&doorbell_region_, kDoorbellOffset);
    bar_.Add(&table_region_, kMsixOffset);
    bar_.Add(&pba_region_, pba_offset_);
    for (unsigned i = 0; i < common_->queue_count(); ++i) {
      doorbell_region_.AddIoEvent(
          {.offset = i * kDoorbellStride, .size = 0, .value = {}, .eventfd = common_->doorbell(i)});
    }
    // Prefetchable, as a 64-bit BAR must be to sit behind a bridge; nothing that is read ahead has side
    // effects but the interrupt status, which no driver of MSI-X reads.
    bars_.Define({.index = kBar, .size = bar_.size(), .is_64bit = true, .prefetchable = true}, &bar_);
  }

  void AddCapabilities() {
    AddStructure(Structure::kCommon, kCommonOffset, CommonConfig::kSize);
    AddStructure(Structure::kIsr, kIsrOffset, 1);
    AddStructure(Structure::kDevice, kDeviceOffset, kPage);
    AddStructure(Structure::kNotify, kDoorbellOffset, doorbells_size(), kDoorbellStride);
    window_ = AddStructure(Structure::kPciConfig, 0, 0, 0);
    config_.SetWritable<uint8_t>(window_ + kCapBar, 0xff);
    config_.SetWritable<uint32_t>(window_ + kCapOffset, ~0u);
    config_.SetWritable<uint32_t>(window_ + kCapLength, ~0u);
    config_.SetWritable<uint32_t>(window_ + kCapData, ~0u);
    msix_capability_ =
        config_.AddCapability(pci::kCapMsix, msix_->CapabilityBody(kBar, kMsixOffset, kBar, pba_offset_));
    config_.SetWritable<uint16_t>(msix_capability_ + 2, Msix::kControlWritable);
  }

  // struct virtio_pci_cap, with one more word in some.
  uint16_t AddStructure(Structure structure, uint32_t offset, uint32_t length,
                        std::optional<uint32_t> more = {}) {
    std::array<uint8_t, 18> body{};  // Without the two bytes that every capability starts with.
    const unsigned size = more ? 20 : 16;
    body[0] = static_cast<uint8_t>(size);
    body[1] = static_cast<uint8_t>(structure);
    body[kCapBar - 2] = kBar;
    StoreLe<uint32_t>(&body[kCapOffset - 2], offset);
    StoreLe<uint32_t>(&body[kCapLength - 2], length);
    StoreLe<uint32_t>(&body[kCapData - 2], more.value_or(0));
    return config_.AddCapability(pci::kCapVendor, std::span(body).first(size - 2));
  }

  void UpdateBars() {
    const uint16_t command = config_.command();
    bars_.Update(command & pci::kCommandMemory, command & pci::kCommandIo);
  }

  void SetMsixControl() { msix_->SetControl(config_.Get<uint16_t>(msix_capability_ + 2)); }

  // What the window of the PCI configuration access capability points at (4.1.4.9), if that is one of our
  // structures.
  struct Target {
    IoHandler* handler = nullptr;
    uint64_t offset = 0;
    uint32_t length = 0;
  };
  Target WindowTarget() const {
    const auto offset = config_.Get<uint32_t>(window_ + kCapOffset);
    const auto length = config_.Get<uint32_t>(window_ + kCapLength);
    if (config_.Get<uint8_t>(window_ + kCapBar) != kBar) return {};
    if ((length != 1 && length != 2 && length != 4) || offset % length != 0) return {};
    for (const Region* region : bar_.children()) {
      const Range range{region->offset_in_parent(), region->size()};
      if (range.Contains(offset, length)) return {region->handler(), offset - range.start, length};
    }
    return {};
  }
  void ReadThroughWindow() {
    const Target target = WindowTarget();
    if (target.handler == nullptr) return;
    const uint64_t value = target.handler->Read(target.offset, target.length);
    uint8_t bytes[4];
    StoreLe<uint32_t>(bytes, config_.Get<uint32_t>(window_ + kCapData));
    StoreLeSized(bytes, target.length, value);
    config_.Set<uint32_t>(window_ + kCapData, LoadLe<uint32_t>(bytes));
  }
  void WriteThroughWindow() {
    const Target target = WindowTarget();
    if (target.handler == nullptr) return;
    const uint64_t value = config_.Get<uint32_t>(window_ + kCapData) & AllOnes(target.length);
    target.handler->Write(target.offset, target.length, value);
  }

  const std::string name_;
  const std::unique_ptr<Msix> msix_;
  const std::unique_ptr<CommonConfig> common_;
  IsrHandler isr_handler_;
  DeviceConfigHandler device_handler_;
  DoorbellHandler doorbell_handler_;
  const uint32_t pba_offset_;
  Region bar_;
  Region common_region_, isr_region_, device_region_, doorbell_region_, table_region_, pba_region_;
  ConfigSpace config_;
  Bars bars_;
  PciSlot* slot_ = nullptr;
  uint16_t window_ = 0, msix_capability_ = 0, express_ = 0;
};

}  // namespace

Result<std::unique_ptr<PciFunction>> CreateVirtioPciFunction(std::string name,
                                                             std::unique_ptr<VirtioDevice> device,
                                                             const GuestMemory* memory, EventLoop* loop,
                                                             InterruptController* interrupts) {
  const VirtioType type = device->type();
  const auto queues = static_cast<unsigned>(device->queue_sizes().size());
  CHECK(queues <= kMaxQueues);
  // One vector a queue, and one for changes of the configuration.
  std::unique_ptr<Msix> msix = TRY(Context(Msix::Create(interrupts, queues + 1), name));
  std::unique_ptr<CommonConfig> common =
      TRY(Context(CommonConfig::Create(name, std::move(device), memory, loop, msix.get()), name));
  return std::make_unique<VirtioPciFunction>(std::move(name), type, std::move(msix), std::move(common));
}

}  // namespace berth::hw

#include "hw/virtio/pci_transport.h"

#include <array>

#include "hw/pci/bars.h"
#include "hw/pci/express.h"
#include "hw/pci/msix.h"
#include "hw/virtio/common_config.h"
#include "hw/virtio/pci_bar.h"

namespace berth::hw {
namespace {

constexpr unsigned kBar = 0;
// In struct virtio_pci_cap, from its start (4.1.4). What follows it is the doorbells' stride, or the window's
// data.
constexpr unsigned kCapSize = 2, kCapType = 3, kCapBar = 4, kCapOffset = 8, kCapLength = 12, kCapMore = 16;

uint32_t ClassOf(VirtioType type) {
  switch (type) {
    case VirtioType::kNet:
      return 0x020000;  // Ethernet.
    case VirtioType::kBlock:
    case VirtioType::kScsi:
      return 0x010000;  // SCSI storage.
    case VirtioType::kConsole:
      return 0x078000;  // Other communication.
    default:
      return 0x00ff00;  // Not otherwise classified.
  }
}

PciIdentity IdentityOf(VirtioType type) {
  const auto device_id = static_cast<uint16_t>(0x1040 + static_cast<uint16_t>(type));
  return {.vendor_id = 0x1af4,
          .device_id = device_id,
          .subsystem_vendor_id = 0x1af4,
          .subsystem_id = device_id,
          .class_code = ClassOf(type),
          .revision_id = 1};
}

class VirtioPciFunction final : public PciFunction {
 public:
  VirtioPciFunction(std::string name, VirtioType type, std::unique_ptr<Msix> msix,
                    std::unique_ptr<CommonConfig> common)
      : name_(std::move(name)),
        msix_(std::move(msix)),
        common_(std::move(common)),
        bar_(name_, common_.get(), msix_.get()),
        config_(IdentityOf(type)) {
    // Prefetchable, as a 64-bit BAR must be to sit behind a bridge. The interrupt status alone minds being
    // read ahead, and no driver of MSI-X needs it.
    bars_.Define({.index = kBar, .size = bar_.region()->size(), .is_64bit = true, .prefetchable = true},
                 bar_.region());
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
    // Right on the root bus it is a conventional function: drivers need nothing of PCI Express, and each look
    // for its extended capabilities is an exit.
    if (slot->behind_root_port()) express_ = AddExpressEndpoint(&config_);
    return Ok();
  }

  uint32_t ReadConfig(uint16_t offset, unsigned size) override {
    if (Bars::Holds(offset)) return bars_.ReadConfig(offset, size);
    if (Touches(offset, size, window_ + kCapMore, 4)) ReadThroughWindow();
    return config_.Read(offset, size);
  }

  void WriteConfig(uint16_t offset, unsigned size, uint32_t value) override {
    if (Bars::Holds(offset)) {
      bars_.WriteConfig(offset, size, value);
      return UpdateBars();
    }
    config_.Write(offset, size, value);
    if (Touches(offset, size, pci::kCommand, 2)) UpdateBars();
    if (Touches(offset, size, msix_at_, 4)) msix_->SetControl(config_.Get<uint16_t>(msix_at_ + 2));
    if (Touches(offset, size, window_ + kCapMore, 4)) WriteThroughWindow();
    if (express_ != 0 && TakeFunctionLevelReset(&config_, express_)) Reset();
  }

  void Reset() override {
    common_->Reset();
    msix_->Reset();
    config_.ClearWritable();
    bars_.Reset();
  }

 private:
  static bool Touches(uint16_t offset, unsigned size, unsigned start, unsigned length) {
    return Range{offset, size}.Overlaps({start, length});
  }

  void UpdateBars() {
    const uint16_t command = config_.command();
    bars_.Update(command & pci::kCommandMemory, command & pci::kCommandIo);
  }

  void AddCapabilities() {
    for (const VirtioBar::Structure& structure : bar_.structures()) AddStructure(structure);
    window_ = AddStructure({VirtioBar::Type::kPciConfig, 0, 0});
    config_.SetWritable<uint8_t>(window_ + kCapBar, 0xff);
    config_.SetWritable<uint32_t>(window_ + kCapOffset, ~0u);
    config_.SetWritable<uint32_t>(window_ + kCapLength, ~0u);
    config_.SetWritable<uint32_t>(window_ + kCapMore, ~0u);
    msix_at_ = config_.AddCapability(
        pci::kCapMsix, msix_->CapabilityBody(kBar, bar_.msix_table_offset(), kBar, bar_.msix_pba_offset()));
    config_.SetWritable<uint16_t>(msix_at_ + 2, Msix::kControlWritable);
  }

  uint16_t AddStructure(const VirtioBar::Structure& structure) {
    std::array<uint8_t, kCapMore + 4 - 2> body{};  // Without the two bytes that every capability starts with.
    const bool doorbells = structure.type == VirtioBar::Type::kNotify;
    const bool more = doorbells || structure.type == VirtioBar::Type::kPciConfig;
    const unsigned size = more ? kCapMore + 4 : kCapMore;
    body[kCapSize - 2] = static_cast<uint8_t>(size);
    body[kCapType - 2] = static_cast<uint8_t>(structure.type);
    body[kCapBar - 2] = kBar;
    StoreLe<uint32_t>(&body[kCapOffset - 2], structure.offset);
    StoreLe<uint32_t>(&body[kCapLength - 2], structure.length);
    if (doorbells) StoreLe<uint32_t>(&body[kCapMore - 2], VirtioBar::kDoorbellStride);
    return config_.AddCapability(pci::kCapVendor, std::span(body).first(size - 2));
  }

  // The PCI configuration access capability (4.1.4.9) is a window of 1, 2 or 4 bytes into the BAR. 0 for a
  // length that is none of these, or where the window is not aligned to it or not into our BAR.
  unsigned WindowLength() const {
    const auto length = config_.Get<uint32_t>(window_ + kCapLength);
    const bool legal = (length == 1 || length == 2 || length == 4) &&
                       config_.Get<uint8_t>(window_ + kCapBar) == kBar && WindowOffset() % length == 0;
    return legal ? length : 0;
  }
  uint32_t WindowOffset() const { return config_.Get<uint32_t>(window_ + kCapOffset); }
  void ReadThroughWindow() {
    const unsigned length = WindowLength();
    const std::optional<uint64_t> value = length == 0 ? std::nullopt : bar_.Read(WindowOffset(), length);
    if (!value) return;
    uint8_t bytes[4];
    StoreLe<uint32_t>(bytes, config_.Get<uint32_t>(window_ + kCapMore));
    StoreLeSized(bytes, length, *value);
    config_.Set<uint32_t>(window_ + kCapMore, LoadLe<uint32_t>(bytes));
  }
  void WriteThroughWindow() {
    const unsigned length = WindowLength();
    const uint64_t value = config_.Get<uint32_t>(window_ + kCapMore) & AllOnes(length);
    if (length != 0) bar_.Write(WindowOffset(), length, value);
  }

  const std::string name_;
  const std::unique_ptr<Msix> msix_;
  const std::unique_ptr<CommonConfig> common_;
  VirtioBar bar_;
  ConfigSpace config_;
  Bars bars_;
  PciSlot* slot_ = nullptr;
  uint16_t window_ = 0, msix_at_ = 0, express_ = 0;  // Offsets of capabilities; 0 if it has none.
};

}  // namespace

Result<std::unique_ptr<PciFunction>> CreateVirtioPciFunction(std::string name,
                                                             std::unique_ptr<VirtioDevice> device,
                                                             const GuestMemory* memory, EventLoop* loop,
                                                             InterruptController* interrupts) {
  const VirtioType type = device->type();
  const auto queues = static_cast<unsigned>(device->queue_sizes().size());
  CHECK(queues <= VirtioBar::kMaxQueues);
  // One vector a queue, and one for changes of the configuration.
  std::unique_ptr<Msix> msix = TRY(Context(Msix::Create(interrupts, queues + 1), name));
  std::unique_ptr<CommonConfig> common =
      TRY(Context(CommonConfig::Create(name, std::move(device), memory, loop, msix.get()), name));
  return std::make_unique<VirtioPciFunction>(std::move(name), type, std::move(msix), std::move(common));
}

}  // namespace berth::hw

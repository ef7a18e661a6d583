// An assigned function between two who lie: the device says anything in its configuration space and of its
// regions and interrupts, and the guest does anything to its registers and BARs.
#include <linux/vfio.h>

#include "base/log.h"
#include "tests/fakes/fake_pci_slot.h"
#include "tests/fakes/fake_vfio.h"
#include "tests/fuzz/fuzz_input.h"
#include "vfio/pci_function.h"

namespace berth::vfio {
namespace {

constexpr uint64_t kMemory = 0xe0000000, kPorts = 0xc000;

enum Operation : uint8_t {
  kReadConfig,
  kWriteConfig,
  kReadBar,
  kWriteBar,
  kPlace,
  kRaise,
  kReset,
  kLie,
  kCount
};

// Half of the inputs start from a device that makes sense, so that what is behind its registers is reached.
void MakeDevice(FuzzInput* input, FakeVfio* kernel, FakeVfioDevice* fake) {
  const auto shape = input->Take<uint8_t>();
  const auto bars = input->Take<uint16_t>();
  static constexpr uint64_t kSizes[] = {0, 16, 0x1000, 0x4000, 0x3000, 0x40, 0x100000, 5};
  for (unsigned i = 0; i < 5; ++i) {
    const uint64_t size = kSizes[bars >> (3 * i) & 7];
    if (size != 0) fake->AddBar(i, size, input->Take<uint8_t>() & 0xf, shape & 1).msix_mappable = shape & 2;
  }
  if (shape & 4) fake->AddRegion(VFIO_PCI_ROM_REGION_INDEX, 0x800, VFIO_REGION_INFO_FLAG_READ);
  fake->AddCapability(0x40, 0x01, std::vector<uint8_t>(6));
  fake->config_writable[0x44] = 3;
  fake->AddCapability(0x50, 0x05, {input->Take<uint8_t>(), 0x01});
  fake->AddExpress(0x70, shape & 8 ? 0 : 9);
  fake->AddMsix(0xb0, 1 + input->Take<uint8_t>() % 64, input->Take<uint8_t>() % 6,
                input->Take<uint16_t>() & ~7u, input->Take<uint16_t>() & ~7u);
  fake->AddExtendedCapability(0x100, 0x10, std::vector<uint8_t>(60));
  fake->AddExtendedCapability(0x200, 0x03, std::vector<uint8_t>(8));
  const uint32_t automasked = shape & 16 ? VFIO_IRQ_INFO_AUTOMASKED : 0;
  fake->irqs[VFIO_PCI_INTX_IRQ_INDEX] = {1, VFIO_IRQ_INFO_EVENTFD | automasked, {}};
  fake->irqs[VFIO_PCI_MSI_IRQ_INDEX] = {input->Take<uint8_t>(), VFIO_IRQ_INFO_NORESIZE, {}};
  fake->intx_unmask_eventfd = shape & 32;
  fake->host_vectors = input->Take<uint8_t>();
  fake->config[0x3d] = input->Take<uint8_t>() % 6;
  if (shape & 64) fake->irqs[VFIO_PCI_MSIX_IRQ_INDEX].flags |= VFIO_IRQ_INFO_NORESIZE;
  const auto display = input->Take<uint8_t>();
  if (display & 1) {
    // A GPU of NVIDIA's, as far as cliques are concerned, that takes a monitor.
    fake->SetConfig<uint16_t>(0, 0x10de);
    fake->SetConfig<uint16_t>(0x0a, 0x0300);
    auto& edid =
        fake->AddRegion(VFIO_PCI_NUM_REGIONS, 4096, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE);
    edid.type = {VFIO_REGION_TYPE_GFX, VFIO_REGION_SUBTYPE_GFX_EDID};
    const auto head = input->TakeBytes(sizeof(vfio_region_gfx_edid));
    std::copy(head.begin(), head.end(), edid.bytes);
  }
  // The lies: runs of bytes over its configuration space.
  const unsigned lies = shape & 128 ? input->Take<uint8_t>() % 16 : 0;
  for (unsigned i = 0; i < lies; ++i) {
    const auto at = input->Take<uint16_t>() % fake->config.size();
    const auto bytes = input->TakeBytes(input->Take<uint8_t>() % 64);
    std::copy_n(bytes.begin(), std::min(bytes.size(), fake->config.size() - at), fake->config.begin() + at);
  }
  if (lies > 8) fake->config.resize(std::max<size_t>(input->Take<uint16_t>() % 4097, 1));
  fake->config_writable.resize(fake->config.size());
  kernel->short_reads = lies == 7;
}

class Guest {
 public:
  Guest(FakeVfio* kernel, FakeVfioDevice* fake, EventLoop* loop)
      : kernel_(*kernel), fake_(*fake), loop_(loop) {}

  bool Attach(Type1Container* container, bool relocate, bool clique) {
    auto group = Group::Create(kernel_.OpenGroup("7"), container, nullptr, kernel_);
    auto made = CreateVfioPciFunction({.name = "fuzz",
                                       .group = std::move(*group),
                                       .device_name = "device",
                                       .loop = loop_,
                                       .relocate_msix = relocate,
                                       .gpudirect_clique = clique ? std::optional(3u) : std::nullopt});
    if (!made) return false;
    function_ = std::move(*made);
    return function_->Attach(&slot_).has_value();
  }

  void Do(FuzzInput* input) {
    const auto operation = input->Take<uint8_t>() % kCount;
    const unsigned size = 1u << (input->Take<uint8_t>() % 4);
    const unsigned config_size = std::min(size, 4u);
    const auto where = input->Take<uint16_t>();
    switch (operation) {
      case kReadConfig:
        function_->ReadConfig(static_cast<uint16_t>(AlignDown(where % 4096, config_size)), config_size);
        break;
      case kWriteConfig: {
        // Most of what matters is in the first 256 bytes.
        const unsigned space = where & 0x8000 ? 4096 : 256;
        function_->WriteConfig(static_cast<uint16_t>(AlignDown(where % space, config_size)), config_size,
                               input->Take<uint32_t>());
        break;
      }
      case kReadBar:
        (where & 1 ? memory_ : io_).Read((where & 1 ? kMemory : kPorts) + where, size);
        break;
      case kWriteBar:
        (where & 1 ? memory_ : io_)
            .Write((where & 1 ? kMemory : kPorts) + AlignDown(where, size), size, input->Take<uint64_t>());
        break;
      case kPlace:
        Place(where);
        break;
      case kRaise:
        fake_.SetIntx(where & 1);
        fake_.Raise(1 + where % 2, where % 64);
        fake_.ServeIntxUnmask();
        break;
      case kReset:
        function_->Reset();
        break;
      case kLie:
        fake_.config[where % fake_.config.size()] = input->Take<uint8_t>();
        fake_.dead_after_reset = where & 1 ? 5 : 0;
        kernel_.FailCall(where & 2 ? VFIO_DEVICE_SET_IRQS : FakeVfio::kPread, 1 + (where >> 8) % 8, 5);
        break;
    }
  }

 private:
  void Place(uint16_t which) {
    for (const hw::BarRequest& request : function_->bars()) {
      const auto reg = static_cast<uint16_t>(request.index == 6 ? 0x30 : 0x10 + 4 * request.index);
      const uint64_t base = request.io ? kPorts : kMemory;
      function_->WriteConfig(reg, 4, static_cast<uint32_t>(base + (which >> request.index & 1) * 0x8000) | 1);
    }
    function_->WriteConfig(4, 2, 7);
  }

  FakeVfio& kernel_;
  FakeVfioDevice& fake_;
  EventLoop* const loop_;
  hw::FakePciSlot slot_;
  std::unique_ptr<VfioPciFunction> function_;
  hw::ViewReader memory_{slot_.memory_space()}, io_{slot_.io_space()};
};

}  // namespace
}  // namespace berth::vfio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  using namespace berth::vfio;
  SetLogLevel(static_cast<LogLevel>(100));
  FuzzInput input(data, size);
  FakeVfio kernel;
  FakeVfioDevice& fake = kernel.AddDevice("7", "device");
  MakeDevice(&input, &kernel, &fake);
  auto loop = std::move(*EventLoop::Create());
  auto container = std::move(*Type1Container::Create(kernel.OpenContainer(), kernel));
  {
    Guest guest(&kernel, &fake, loop.get());
    const auto how = input.Take<uint8_t>();
    if (guest.Attach(container.get(), how & 1, how & 2)) {
      while (!input.empty()) guest.Do(&input);
    }
  }
  // Whatever happened, all of it is undone.
  CHECK(!kernel.group("7").in_container);
  return 0;
}

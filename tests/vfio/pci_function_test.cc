#include "vfio/pci_function.h"

#include <linux/vfio.h>

#include <cerrno>

#include <gmock/gmock.h>

#include "hw/pci/pci_registers.h"
#include "tests/fakes/fake_pci_slot.h"
#include "tests/fakes/fake_vfio.h"
#include "vfio/dma_listener.h"

namespace berth::vfio {
namespace {

namespace pci = hw::pci;
using Write = FakeVfioDevice::ConfigWrite;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr uint16_t kPower = 0x40, kMsi = 0x50, kExpress = 0x70, kMsix = 0xb0;
constexpr uint64_t kBar = 0xe0000000;

struct Observer final : FunctionObserver {
  void DeviceFailed(const std::string& name, const std::string& why) override {
    failed.push_back(name + ": " + why);
  }
  void DeviceRequested(const std::string& name) override { requested.push_back(name); }
  std::vector<std::string> failed, requested;
};

// A network card, more or less: power management, MSI with masks, MSI-X in BAR 0, ports in BAR 2, INTA.
struct VfioPciFunctionTest : testing::Test {
  void SetUp() override {
    loop = std::move(*EventLoop::Create());
    container = std::move(*Type1Container::Create(kernel.OpenContainer(), kernel));
    fake.AddBar(0, 0x10000, 0xfd00000c, true).msix_mappable = true;
    fake.AddBar(2, 0x20, 0x1, false);
    fake.AddCapability(kPower, pci::kCapPowerManagement, std::vector<uint8_t>(6));
    fake.config_writable[kPower + 4] = 3;
    fake.AddCapability(kMsi, pci::kCapMsi, {0x82, 0x01});
    fake.AddExpress(kExpress, pci::kExpressEndpoint);
    fake.AddMsix(kMsix, 8, 0, 0x2000, 0x3000);
    fake.AddExtendedCapability(0x100, pci::kExtCapSriov, std::vector<uint8_t>(60));
    fake.AddExtendedCapability(0x160, pci::kExtCapSerial, std::vector<uint8_t>(8));
    fake.SetConfig<uint8_t>(pci::kInterruptPin, 1);
    fake.irqs[VFIO_PCI_INTX_IRQ_INDEX] = {
        1, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED, {}};
    fake.irqs[VFIO_PCI_MSI_IRQ_INDEX] = {2, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, {}};
    fake.irqs[VFIO_PCI_ERR_IRQ_INDEX] = {1, VFIO_IRQ_INFO_EVENTFD, {}};
    slot.root_port = true;
  }
  Result<std::unique_ptr<VfioPciFunction>> Create() {
    auto group = Group::Create(kernel.OpenGroup("7"), container.get(), nullptr, kernel);
    if (!group) return Fail(group.error());
    options.name = "nic0";
    options.group = std::move(*group);
    options.device_name = "0000:01:00.0";
    options.loop = loop.get();
    options.observer = &observer;
    return CreateVfioPciFunction(std::move(options));
  }
  void Attach() {
    auto made = Create();
    ASSERT_TRUE(made) << made.error().message();
    function = std::move(*made);
    const Status attached = function->Attach(&slot);
    ASSERT_TRUE(attached) << attached.error().message();
    fake.config_writes.clear();
  }
  uint32_t Read(uint16_t offset, unsigned size) { return function->ReadConfig(offset, size); }
  void Write16(uint16_t offset, uint16_t value) { function->WriteConfig(offset, 2, value); }
  // Puts BAR 0 where the tests look for it, decoding on.
  void PlaceBar() {
    function->WriteConfig(0x10, 4, static_cast<uint32_t>(kBar));
    Write16(pci::kCommand, pci::kCommandMemory | pci::kCommandMaster);
  }
  bool Mapped() { return slot.memory_space().view()->Find(kBar) != nullptr; }
  void RunLoop() {
    loop->Post([this] { loop->Post([this] { loop->Stop(); }); });
    loop->Run();
  }

  FakeVfio kernel;
  FakeVfioDevice& fake = kernel.AddDevice("7", "0000:01:00.0");
  std::unique_ptr<Type1Container> container;
  std::unique_ptr<EventLoop> loop;
  Observer observer;
  hw::FakePciSlot slot;
  VfioFunctionOptions options;
  std::unique_ptr<VfioPciFunction> function;
  hw::ViewReader memory{slot.memory_space()}, io{slot.io_space()};
};

TEST_F(VfioPciFunctionTest, HasTheIdentityOfItsDevice) {
  Attach();
  EXPECT_EQ(Read(0, 4), 0x00051b36u);
  EXPECT_EQ(Read(8, 4), 0x00ff0001u);
  EXPECT_EQ(function->name(), "nic0");
}

// docs/assigned-devices.md, 23.
TEST_F(VfioPciFunctionTest, HasAnotherIdentityOnRequest) {
  options.identity = {
      .vendor_id = 0x8086, .device_id = 0x10d3, .subsystem_vendor_id = 0x103c, .subsystem_id = 1};
  Attach();
  EXPECT_EQ(Read(0, 4), 0x10d38086u);
  EXPECT_EQ(Read(pci::kSubsystemVendorId, 4), 0x0001103cu);
  EXPECT_EQ(Read(8, 4), 0x00ff0001u);
}

TEST_F(VfioPciFunctionTest, ACliqueIsRefusedBeforeTheDeviceIsUsed) {
  options.gpudirect_clique = 0;
  EXPECT_EQ(Create().error().reason(), "NOT_AN_NVIDIA_GPU");
}

TEST_F(VfioPciFunctionTest, AsksForItsBars) {
  Attach();
  ASSERT_THAT(function->bars(), SizeIs(2));
  EXPECT_EQ(function->bars()[0].size, 0x10000u);
  EXPECT_TRUE(function->bars()[0].is_64bit && function->bars()[0].prefetchable);
  EXPECT_TRUE(function->bars()[1].io);
}

// docs/assigned-devices.md, 11: sizing is answered without the hardware.
TEST_F(VfioPciFunctionTest, AnswersSizingItself) {
  Attach();
  function->WriteConfig(0x10, 4, 0xffffffff);
  function->WriteConfig(0x14, 4, 0xffffffff);
  EXPECT_EQ(Read(0x10, 4), 0xffff000cu);
  EXPECT_EQ(Read(0x14, 4), 0xffffffffu);
  EXPECT_THAT(fake.config_writes, IsEmpty());
}

// docs/assigned-devices.md, 16 and 22: the hardware decodes before the guest sees the memory, and longer.
TEST_F(VfioPciFunctionTest, MapsAfterTheHardwareDecodesAndUnmapsBefore) {
  struct Order final : hw::MemoryListener {
    Status Added(const hw::FlatRange&) override {
      decoded_when_added = fake->Config<uint16_t>(pci::kCommand) & pci::kCommandMemory;
      return Ok();
    }
    void Removed(const hw::FlatRange&) override {
      decoded_when_removed = fake->Config<uint16_t>(pci::kCommand) & pci::kCommandMemory;
    }
    FakeVfioDevice* fake = nullptr;
    bool decoded_when_added = false, decoded_when_removed = false;
  } order;
  order.fake = &fake;
  Attach();
  ASSERT_TRUE(slot.memory_space().AddListener(&order));
  PlaceBar();
  EXPECT_TRUE(Mapped());
  EXPECT_TRUE(order.decoded_when_added);
  Write16(pci::kCommand, 0);
  EXPECT_FALSE(Mapped());
  EXPECT_TRUE(order.decoded_when_removed);
  slot.memory_space().RemoveListener(&order);
}

TEST_F(VfioPciFunctionTest, TheCommandRegisterReachesTheHardware) {
  Attach();
  Write16(pci::kCommand, 0x0546);
  EXPECT_THAT(fake.config_writes, ElementsAre(Write{pci::kCommand, 0x0546, 2}));
  EXPECT_EQ(Read(pci::kCommand, 2), 0x0546u);
  // Devices with bits of their own mind still seem to take what the guest writes.
  fake.SetConfig<uint16_t>(pci::kCommand, 0x0001);
  EXPECT_EQ(Read(pci::kCommand, 2) & 7, 6u);
}

TEST_F(VfioPciFunctionTest, BarsAreTheDevicesMemory) {
  Attach();
  PlaceBar();
  memory.Write(kBar + 0x100, 4, 0x600df00d);
  EXPECT_EQ(LoadLe<uint32_t>(fake.region(0).bytes + 0x100), 0x600df00du);
  const auto view = slot.memory_space().view();
  EXPECT_EQ(view->Find(kBar)->kind, hw::Region::Kind::kDeviceMemory);
  EXPECT_EQ(view->Find(kBar)->size, 0x2000u);  // Up to the MSI-X table's page.
  EXPECT_EQ(view->Find(kBar + 0x2000)->kind, hw::Region::Kind::kIo);
  EXPECT_EQ(view->Find(kBar + 0x4000)->kind, hw::Region::Kind::kDeviceMemory);
}

TEST_F(VfioPciFunctionTest, PortsTrap) {
  Attach();
  function->WriteConfig(0x18, 4, 0xc000);
  Write16(pci::kCommand, pci::kCommandIo);
  io.Write(0xc004, 1, 0x5a);
  EXPECT_EQ(fake.region(2).bytes[4], 0x5a);
  EXPECT_EQ(io.Read(0xc004, 1), 0x5au);
  EXPECT_EQ(function->counters().trapped_reads, 1u);
}

// docs/assigned-devices.md, 33.
TEST_F(VfioPciFunctionTest, ASleepingDeviceIsNotMapped) {
  Attach();
  PlaceBar();
  Write16(kPower + 4, 3);
  EXPECT_FALSE(Mapped());
  EXPECT_EQ(fake.Config<uint16_t>(kPower + 4), 3);
  Write16(kPower + 4, 0);
  EXPECT_TRUE(Mapped());
}

TEST_F(VfioPciFunctionTest, APowerStateTheDeviceDoesNotHaveIsNotEntered) {
  fake.config_writable[kPower + 4] = 0;
  Attach();
  PlaceBar();
  Write16(kPower + 4, 1);
  EXPECT_TRUE(Mapped());
}

// docs/assigned-devices.md, 13 and 29: the guest's table is ours, and so is its control register.
TEST_F(VfioPciFunctionTest, MsixGoesFromTheGuestsTableToTheGuest) {
  Attach();
  PlaceBar();
  memory.Write(kBar + 0x2000 + 16 * 5, 8, 0xfee01000);
  memory.Write(kBar + 0x2000 + 16 * 5 + 8, 8, 0x4051);  // Data, unmasked.
  Write16(kMsix + 2, 0x8000);
  EXPECT_EQ(fake.irq_mode(), VFIO_PCI_MSIX_IRQ_INDEX);
  fake.Raise(VFIO_PCI_MSIX_IRQ_INDEX, 5);
  hw::FakeMsiVector* vector = slot.fake_interrupts().vector(2 + 5);  // After MSI's two.
  EXPECT_EQ(vector->TakeInterrupts(), 1u);
  EXPECT_EQ(vector->message(), (hw::MsiMessage{0xfee01000, 0x4051}));
  EXPECT_EQ(Read(kMsix + 2, 2), 0x8007u);
  EXPECT_EQ(memory.Read(kBar + 0x2000 + 16 * 5 + 8, 4), 0x4051u);
  for (const Write& write : fake.config_writes) EXPECT_NE(write.offset & ~3u, kMsix);
}

TEST_F(VfioPciFunctionTest, TheRestOfTheTablesPageIsTheDevices) {
  Attach();
  PlaceBar();
  memory.Write(kBar + 0x2800, 4, 0x77);
  EXPECT_EQ(fake.region(0).bytes[0x2800], 0x77);
}

TEST_F(VfioPciFunctionTest, MsixCanHaveABarOfItsOwn) {
  options.relocate_msix = true;
  Attach();
  ASSERT_THAT(function->bars(), SizeIs(3));
  EXPECT_EQ(function->bars()[2].index, 3u);
  EXPECT_EQ(Read(kMsix + 4, 4), 3u);
  PlaceBar();
  EXPECT_EQ(slot.memory_space().view()->Find(kBar)->size, 0x10000u);
  function->WriteConfig(0x1c, 4, 0xe1000000);
  memory.Write(0xe1000000, 4, 0xfee00000);
  EXPECT_EQ(memory.Read(0xe1000000, 4), 0xfee00000u);
}

TEST_F(VfioPciFunctionTest, MsiIsOursAndReachesTheGuest) {
  Attach();
  EXPECT_EQ(Read(kMsi + 2, 2), 0x0182u);  // Two vectors, 64 bits, maskable.
  function->WriteConfig(kMsi + 4, 4, 0xfee01000);
  Write16(kMsi + 12, 0x4031);
  function->WriteConfig(kMsi, 4, 0x0001ffff);  // With its read-only id and link.
  EXPECT_EQ(Read(kMsi, 1), uint32_t{pci::kCapMsi});
  EXPECT_EQ(fake.irq_mode(), VFIO_PCI_MSI_IRQ_INDEX);
  fake.Raise(VFIO_PCI_MSI_IRQ_INDEX, 0);
  EXPECT_EQ(slot.fake_interrupts().vector(0)->TakeInterrupts(), 1u);
  function->WriteConfig(kMsi + 16, 4, 1);
  fake.Raise(VFIO_PCI_MSI_IRQ_INDEX, 0);
  EXPECT_EQ(Read(kMsi + 20, 4), 1u);
  EXPECT_THAT(fake.config_writes, IsEmpty());
}

TEST_F(VfioPciFunctionTest, IntxFollowsThePin) {
  Attach();
  EXPECT_EQ(Read(pci::kInterruptPin, 1), 1u);
  EXPECT_EQ(slot.fake_interrupts().line()->gsi(), 16u);
  function->WriteConfig(pci::kInterruptLine, 1, 11);
  EXPECT_EQ(Read(pci::kInterruptLine, 1), 11u);
}

// docs/assigned-devices.md, 21: a VF has a pin register, perhaps, but no INTx.
TEST_F(VfioPciFunctionTest, WithoutIntxThereIsNoPin) {
  fake.irqs[VFIO_PCI_INTX_IRQ_INDEX] = {};
  Attach();
  EXPECT_EQ(Read(pci::kInterruptPin, 1), 0u);
  EXPECT_EQ(slot.fake_interrupts().line(), nullptr);
}

TEST_F(VfioPciFunctionTest, HidesWhatIsTheHosts) {
  Attach();
  EXPECT_EQ(Read(0x100, 4), 0x16010000u);  // A null capability, leading to the serial number.
  EXPECT_EQ(Read(0x160, 4), 0x00010003u);
}

TEST_F(VfioPciFunctionTest, TheExpressTypeFollowsThePlace) {
  slot.root_port = false;
  Attach();
  EXPECT_EQ(Read(kExpress + 2, 2) >> 4 & 0xf, uint32_t{pci::kExpressIntegratedEndpoint});
}

TEST_F(VfioPciFunctionTest, OtherRegistersAreTheHardwares) {
  fake.config_writable[0xf0] = fake.config_writable[0xf1] = fake.config_writable[0xf2] =
      fake.config_writable[0xf3] = 0xff;
  Attach();
  function->WriteConfig(0xf0, 4, 0x12345678);
  EXPECT_EQ(Read(0xf2, 2), 0x1234u);
  EXPECT_THAT(fake.config_writes, ElementsAre(Write{0xf0, 0x12345678, 4}));
}

TEST_F(VfioPciFunctionTest, BytesThatAreOursAreNotForwardedWithTheirNeighbours) {
  Attach();
  function->WriteConfig(pci::kInterruptLine, 4, 0x0a0b010b);  // Line and pin are ours, grant and latency not.
  EXPECT_THAT(fake.config_writes, ElementsAre(Write{0x3e, 0x0a0b, 2}));
}

TEST_F(VfioPciFunctionTest, ConventionalDevicesHaveNoExtendedSpace) {
  fake.config.resize(0xff);
  fake.config_writable.resize(0xff);
  Attach();
  EXPECT_EQ(Read(0x100, 4), 0xffffffffu);
  EXPECT_EQ(Read(0xfc, 4) & 0xffffff, 0u);
  function->WriteConfig(0x100, 4, 0);
  function->WriteConfig(0xfc, 4, 0);
}

// docs/assigned-devices.md, 31.
TEST_F(VfioPciFunctionTest, IsResetWhenAttachedAndWhenTheGuestIs) {
  Attach();
  EXPECT_EQ(fake.resets, 1);
  function->Reset();  // Nothing has happened since.
  EXPECT_EQ(fake.resets, 1);
  PlaceBar();
  memory.Write(kBar + 0x2000 + 12, 4, 0);
  Write16(kMsix + 2, 0x8000);
  function->Reset();
  EXPECT_EQ(fake.resets, 2);
  EXPECT_FALSE(Mapped());
  EXPECT_EQ(Read(pci::kCommand, 2), 0u);
  EXPECT_EQ(Read(0x10, 4), 0xcu);
  EXPECT_EQ(Read(kMsix + 2, 2), 7u);
  EXPECT_EQ(fake.irq_mode(), VFIO_PCI_INTX_IRQ_INDEX);
  EXPECT_EQ(function->counters().resets, 2u);
}

TEST_F(VfioPciFunctionTest, TheGuestsFunctionLevelResetIsOne) {
  Attach();
  PlaceBar();
  Write16(kExpress + 8, 0x8000);
  EXPECT_EQ(fake.resets, 2);
  EXPECT_FALSE(Mapped());
  EXPECT_EQ(Read(kExpress + 8, 2), 0u);
  EXPECT_EQ(Read(0x10, 4), 0xcu);
}

TEST_F(VfioPciFunctionTest, ADeviceLostInAResetIsReported) {
  Attach();
  PlaceBar();
  fake.dead_after_reset = 1000;
  function->Reset();
  ASSERT_THAT(observer.failed, SizeIs(1));
  EXPECT_THAT(observer.failed[0], HasSubstr("does not answer"));
}

TEST_F(VfioPciFunctionTest, ADeviceLostInItsFirstResetIsNotAttached) {
  auto made = Create();
  ASSERT_TRUE(made);
  fake.dead_after_reset = 1000;
  EXPECT_EQ((*made)->Attach(&slot).error().reason(), "DEVICE_LOST");
}

TEST_F(VfioPciFunctionTest, SkipsTheResetOfADeviceThatItKills) {
  options.skip_reset = true;
  Attach();
  PlaceBar();
  function->Reset();
  EXPECT_EQ(fake.resets, 0);
  EXPECT_EQ(fake.Config<uint16_t>(pci::kCommand), 0);
}

// docs/assigned-devices.md, 32.
TEST_F(VfioPciFunctionTest, ErrorsAndRequestsAreReported) {
  Attach();
  fake.Raise(VFIO_PCI_ERR_IRQ_INDEX, 0);
  fake.Raise(VFIO_PCI_REQ_IRQ_INDEX, 0);
  RunLoop();
  EXPECT_THAT(observer.failed, ElementsAre(HasSubstr("nic0: the device reports an uncorrectable error")));
  EXPECT_THAT(observer.requested, ElementsAre("nic0"));
}

TEST_F(VfioPciFunctionTest, ShowsTheRomWhenTheGuestTurnsItOn) {
  fake.AddBar(6, 0x8000, 0, false);
  StoreLe<uint16_t>(fake.region(6).bytes, 0xaa55);
  Attach();
  function->WriteConfig(0x30, 4, 0xe2000001);
  Write16(pci::kCommand, pci::kCommandMemory);
  EXPECT_EQ(memory.Read(0xe2000000, 2), 0xaa55u);
  memory.Write(0xe2000000, 2, 0);
  EXPECT_EQ(memory.Read(0xe2000000, 2), 0xaa55u);
}

TEST_F(VfioPciFunctionTest, ShowsAnotherRomOrNone) {
  fake.AddBar(6, 0x8000, 0, false);
  options.show_rom = false;
  Attach();
  EXPECT_EQ(Read(0x30, 4), 0u);
  function.reset();
  options.show_rom = true;
  options.rom = {0x55, 0xaa};
  Attach();
  function->WriteConfig(0x30, 4, 0xe2000001);
  Write16(pci::kCommand, pci::kCommandMemory);
  EXPECT_EQ(memory.Read(0xe2000000, 2), 0xaa55u);
}

// docs/assigned-devices.md, 36.
TEST_F(VfioPciFunctionTest, ARomThatHangsItsDeviceIsNotShown) {
  fake.AddBar(6, 0x8000, 0, false);
  fake.SetConfig<uint32_t>(0, 0x168e14e4);
  Attach();
  EXPECT_EQ(Read(0x30, 4), 0u);
}

TEST_F(VfioPciFunctionTest, RefusesWhatCannotBeAFunctionOfTheGuest) {
  fake.is_pci = false;
  EXPECT_EQ(Create().error().code(), Code::kUnimplemented);
  fake.is_pci = true;
  fake.SetConfig<uint8_t>(pci::kHeaderType, 1);
  EXPECT_THAT(Create().error().message(), HasSubstr("0000:01:00.0: it is a bridge"));
  fake.SetConfig<uint8_t>(pci::kHeaderType, 0);
  fake.SetConfig<uint32_t>(0, 0xffffffff);
  EXPECT_EQ(Create().error().reason(), "DEVICE_LOST");
  fake.SetConfig<uint32_t>(0, 0x00051b36);
  fake.config.resize(0x20);
  EXPECT_EQ(Create().error().code(), Code::kInternal);
}

TEST_F(VfioPciFunctionTest, EveryCallThatFailsAtCreationFailsItOrIsSurvived) {
  const unsigned long requests[] = {VFIO_DEVICE_GET_INFO,
                                    VFIO_DEVICE_GET_REGION_INFO,
                                    VFIO_DEVICE_GET_IRQ_INFO,
                                    VFIO_DEVICE_SET_IRQS,
                                    FakeVfio::kPread,
                                    FakeVfio::kPwrite,
                                    FakeVfio::kMap};
  for (const unsigned long request : requests) {
    for (int nth = 1; nth <= 12; ++nth) {
      kernel.FailCall(request, nth, EIO);
      auto made = Create();
      if (!made || !(*made)->Attach(&slot)) continue;
      (*made)->WriteConfig(pci::kCommand, 2, 6);
      (*made)->Reset();
    }
  }
  EXPECT_FALSE(kernel.group("7").in_container);
}

// docs/assigned-devices.md, 34: interrupts, then memory, then the device, then its group.
TEST_F(VfioPciFunctionTest, LeavesNothingBehind) {
  Attach();
  PlaceBar();
  Write16(kMsix + 2, 0x8000);
  function.reset();
  EXPECT_EQ(fake.irq_mode(), -1);
  EXPECT_FALSE(Mapped());
  EXPECT_FALSE(kernel.group("7").in_container);
  EXPECT_EQ(slot.fake_interrupts().line(), nullptr);
  EXPECT_THAT(kernel.calls(), Not(Contains(0ul)));
  RunLoop();
}

// 34: taken from its bus it is quiet and out of sight, and an access that a vCPU began before finds it still.
TEST_F(VfioPciFunctionTest, TakenAwayItWaitsForTheLastAccess) {
  DmaListener dma(container.get());
  ASSERT_TRUE(slot.memory_space().AddListener(&dma));
  Attach();
  PlaceBar();
  Write16(kMsix + 2, 0x8000);
  EXPECT_FALSE(kernel.mappings.empty());
  const auto before = slot.memory_space().view();
  function->Detach();
  EXPECT_EQ(fake.irq_mode(), -1);
  EXPECT_FALSE(Mapped());
  EXPECT_TRUE(kernel.mappings.empty());
  EXPECT_TRUE(kernel.group("7").in_container);

  const hw::FlatRange& table = *before->Find(kBar + 0x2000);
  const uint64_t first = table.offset_in_region + (kBar + 0x2000 - table.start);
  table.handler->Write(first + 12, 4, 0);  // Unmasks vector 0, as the guest may have begun to.
  EXPECT_EQ(fake.connected(VFIO_PCI_MSIX_IRQ_INDEX), 0u);
  EXPECT_EQ(fake.irq_mode(), -1);
  before->Find(kBar)->handler->Read(0, 4);

  function.reset();
  EXPECT_FALSE(kernel.group("7").in_container);
  EXPECT_THAT(kernel.calls(), testing::IsSupersetOf({VFIO_IOMMU_UNMAP_DMA, VFIO_GROUP_UNSET_CONTAINER}));
  slot.memory_space().RemoveListener(&dma);
}

}  // namespace
}  // namespace berth::vfio

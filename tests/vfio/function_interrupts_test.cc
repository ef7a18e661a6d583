#include "vfio/function_interrupts.h"

#include <linux/vfio.h>

#include <cerrno>

#include "tests/fakes/fake_pci_slot.h"
#include "tests/vfio/vfio_device_fixture.h"

namespace berth::vfio {
namespace {

constexpr uint32_t kIntxFlags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
constexpr uint16_t kMsixEnable = 0x8000, kMsixMaskAll = 0x4000;

struct FunctionInterruptsTest : VfioDeviceFixture {
  void SetUp() override {
    fake.irqs[VFIO_PCI_INTX_IRQ_INDEX] = {1, kIntxFlags, {}};
    fake.irqs[VFIO_PCI_MSI_IRQ_INDEX] = {4, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, {}};
    fake.irqs[VFIO_PCI_MSIX_IRQ_INDEX] = {8, VFIO_IRQ_INFO_EVENTFD, {}};
    loop = std::move(*EventLoop::Create());
  }
  void Create(FunctionInterrupts::Shape shape) {
    Open();
    auto made = FunctionInterrupts::Create(device.get(), shape, &slot, loop.get());
    ASSERT_TRUE(made) << made.error().message();
    interrupts = std::move(*made);
  }
  // Serves what the loop has to do now.
  void RunLoop() {
    loop->Post([this] { loop->Post([this] { loop->Stop(); }); });
    loop->Run();
  }
  hw::FakeIntxLine* line() { return slot.fake_interrupts().line(); }
  hw::FakeMsiVector* vector(unsigned i) { return slot.fake_interrupts().vector(i); }
  void Unmask(unsigned i) { interrupts->msix()->table_handler()->Write(16 * i + 12, 4, 0); }
  void Mask(unsigned i) { interrupts->msix()->table_handler()->Write(16 * i + 12, 4, 1); }

  hw::FakePciSlot slot;
  std::unique_ptr<EventLoop> loop;
  std::unique_ptr<FunctionInterrupts> interrupts;
};

TEST_F(FunctionInterruptsTest, StartsWithIntxOnTheLineOfItsPin) {
  Create({.pin = 2});
  EXPECT_TRUE(interrupts->has_intx());
  EXPECT_EQ(line()->gsi(), 17u);
  fake.SetIntx(true);
  EXPECT_EQ(line()->TakeInterrupts(), 1u);
  line()->Acknowledge();
  fake.ServeIntxUnmask();
  EXPECT_EQ(line()->TakeInterrupts(), 1u);
}

// docs/assigned-devices.md, 26: what the kernel's driver cannot do is done at the guest's accesses.
TEST_F(FunctionInterruptsTest, AnAccessUnmasksWhereTheDriverCannot) {
  fake.intx_unmask_eventfd = false;
  Create({.pin = 1});
  const uint32_t gsi = slot.IntxGsi(1);
  bool& level = slot.fake_interrupts().levels[gsi];
  fake.SetIntx(true);
  RunLoop();
  EXPECT_TRUE(level);
  // The device still has its cause.
  interrupts->trapped_intx()->OnAccess();
  EXPECT_FALSE(level);
  RunLoop();
  EXPECT_TRUE(level);
  // Now it has none.
  fake.SetIntx(false);
  interrupts->trapped_intx()->OnAccess();
  RunLoop();
  EXPECT_FALSE(level);
}

// docs/assigned-devices.md, 26.
TEST_F(FunctionInterruptsTest, MemoryTrapsFromTheInterruptUntilTheDeviceIsQuiet) {
  fake.intx_unmask_eventfd = false;
  Create({.pin = 1});
  std::vector<bool> shown;
  interrupts->trapped_intx()->SetMemory([&](bool now) { shown.push_back(now); },
                                        std::chrono::milliseconds(1));
  fake.SetIntx(true);
  RunLoop();
  EXPECT_EQ(shown, (std::vector<bool>{false}));
  fake.SetIntx(false);
  interrupts->trapped_intx()->OnAccess();
  while (shown.size() < 2) RunLoop();
  EXPECT_EQ(shown, (std::vector<bool>{false, true}));
}

TEST_F(FunctionInterruptsTest, ALineThatIsHighFallsWithItsDevice) {
  fake.intx_unmask_eventfd = false;
  Create({.pin = 1, .msix_vectors = 8});
  fake.SetIntx(true);
  RunLoop();
  interrupts->WriteMsixControl(kMsixEnable);
  EXPECT_FALSE(slot.fake_interrupts().levels[slot.IntxGsi(1)]);
  interrupts->WriteMsixControl(0);
  RunLoop();
  interrupts.reset();
  EXPECT_FALSE(slot.fake_interrupts().levels[slot.IntxGsi(1)]);
}

TEST_F(FunctionInterruptsTest, ALineThatDoesNotMaskItselfNeedsNoUnmasking) {
  fake.irqs[VFIO_PCI_INTX_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD;
  Create({.pin = 1});
  EXPECT_TRUE(interrupts->has_intx());
  EXPECT_EQ(kernel.Count(VFIO_DEVICE_SET_IRQS), 1);
  fake.SetIntx(true);
  EXPECT_EQ(line()->TakeInterrupts(), 1u);
}

TEST_F(FunctionInterruptsTest, APinThatCannotBeConnectedIsNotThere) {
  kernel.FailCall(VFIO_DEVICE_SET_IRQS, 1, EBUSY);
  Create({.pin = 1});
  EXPECT_FALSE(interrupts->has_intx());
  EXPECT_EQ(line(), nullptr);
}

TEST_F(FunctionInterruptsTest, FailureToConnectTheUnmaskLeavesNoIntx) {
  kernel.FailCall(VFIO_DEVICE_SET_IRQS, 2, EIO);
  Create({.pin = 1});
  EXPECT_FALSE(interrupts->has_intx());
  EXPECT_EQ(fake.irq_mode(), -1);
}

TEST_F(FunctionInterruptsTest, EnablingMsixTakesIntxAwayAndDisablingBringsItBack) {
  Create({.pin = 1, .msix_vectors = 8});
  interrupts->WriteMsixControl(kMsixEnable);
  EXPECT_EQ(fake.irq_mode(), VFIO_PCI_MSIX_IRQ_INDEX);
  EXPECT_FALSE(line()->enabled());
  interrupts->WriteMsixControl(0);
  EXPECT_EQ(fake.irq_mode(), VFIO_PCI_INTX_IRQ_INDEX);
  EXPECT_TRUE(line()->enabled());
  fake.SetIntx(true);
  line()->Acknowledge();
  fake.ServeIntxUnmask();
  EXPECT_FALSE(fake.intx_masked() && line()->TakeInterrupts() == 0);
}

// docs/assigned-devices.md, 27 and 28.
TEST_F(FunctionInterruptsTest, MsixVectorsAreConnectedWhenUnmaskedAndStayConnected) {
  Create({.msix_vectors = 8});
  interrupts->WriteMsixControl(kMsixEnable | kMsixMaskAll);
  EXPECT_EQ(fake.connected(VFIO_PCI_MSIX_IRQ_INDEX), 0u);
  Unmask(3);
  EXPECT_EQ(fake.connected(VFIO_PCI_MSIX_IRQ_INDEX), 0u);
  interrupts->WriteMsixControl(kMsixEnable);
  EXPECT_EQ(fake.connected(VFIO_PCI_MSIX_IRQ_INDEX), 1u);
  fake.Raise(VFIO_PCI_MSIX_IRQ_INDEX, 3);
  EXPECT_EQ(vector(3)->TakeInterrupts(), 1u);

  Mask(3);
  EXPECT_EQ(fake.connected(VFIO_PCI_MSIX_IRQ_INDEX), 1u);
  fake.Raise(VFIO_PCI_MSIX_IRQ_INDEX, 3);
  EXPECT_EQ(interrupts->msix()->pba_handler()->Read(0, 8), 8u);
  const int before = kernel.Count(VFIO_DEVICE_SET_IRQS);
  Unmask(3);
  EXPECT_EQ(kernel.Count(VFIO_DEVICE_SET_IRQS), before);
  EXPECT_EQ(vector(3)->TakeInterrupts(), 1u);
}

TEST_F(FunctionInterruptsTest, EnablingMsixConnectsWhatIsUnmaskedAlready) {
  Create({.msix_vectors = 8});
  Unmask(1);
  Unmask(5);
  interrupts->WriteMsixControl(kMsixEnable);
  EXPECT_EQ(fake.connected(VFIO_PCI_MSIX_IRQ_INDEX), 2u);
  interrupts->WriteMsixControl(0);
  EXPECT_EQ(fake.irq_mode(), -1);
  interrupts->WriteMsixControl(kMsixEnable);
  EXPECT_EQ(fake.connected(VFIO_PCI_MSIX_IRQ_INDEX), 2u);
}

TEST_F(FunctionInterruptsTest, MsiTakesTheVectorsTheGuestAsksFor) {
  Create({.pin = 1, .msi = hw::Msi::Shape{.vectors = 4}});
  interrupts->WriteMsi(2, 2, 1 | 1 << 4);
  EXPECT_EQ(fake.irq_mode(), VFIO_PCI_MSI_IRQ_INDEX);
  EXPECT_EQ(fake.connected(VFIO_PCI_MSI_IRQ_INDEX), 2u);
  fake.Raise(VFIO_PCI_MSI_IRQ_INDEX, 1);
  EXPECT_EQ(vector(1)->TakeInterrupts(), 1u);
  // A new message changes nothing for the host.
  const int before = kernel.Count(VFIO_DEVICE_SET_IRQS);
  interrupts->WriteMsi(4, 4, 0xfee01000);
  EXPECT_EQ(kernel.Count(VFIO_DEVICE_SET_IRQS), before);
  interrupts->WriteMsi(2, 2, 1 | 2 << 4);
  EXPECT_EQ(fake.connected(VFIO_PCI_MSI_IRQ_INDEX), 4u);
  interrupts->WriteMsi(2, 2, 0);
  EXPECT_EQ(fake.irq_mode(), VFIO_PCI_INTX_IRQ_INDEX);
}

TEST_F(FunctionInterruptsTest, MsixGoesBeforeMsi) {
  Create({.msi = hw::Msi::Shape{}, .msix_vectors = 8});
  interrupts->WriteMsixControl(kMsixEnable);
  interrupts->WriteMsi(2, 2, 1);
  EXPECT_EQ(fake.irq_mode(), VFIO_PCI_MSIX_IRQ_INDEX);
  interrupts->WriteMsixControl(0);
  EXPECT_EQ(fake.irq_mode(), VFIO_PCI_MSI_IRQ_INDEX);
}

TEST_F(FunctionInterruptsTest, StopForgetsEverythingAndRestartIsIntx) {
  Create({.pin = 1, .msi = hw::Msi::Shape{}, .msix_vectors = 8});
  Unmask(0);
  interrupts->WriteMsixControl(kMsixEnable);
  fake.Raise(VFIO_PCI_MSIX_IRQ_INDEX, 0);
  interrupts->Stop();
  EXPECT_EQ(fake.irq_mode(), -1);
  EXPECT_FALSE(interrupts->msix()->enabled());
  EXPECT_EQ(interrupts->msix()->pba_handler()->Read(0, 8), 0u);
  interrupts->Restart();
  EXPECT_EQ(fake.irq_mode(), VFIO_PCI_INTX_IRQ_INDEX);
  EXPECT_TRUE(line()->enabled());
}

TEST_F(FunctionInterruptsTest, AHostThatRefusesIsSurvived) {
  Create({.pin = 1, .msi = hw::Msi::Shape{}, .msix_vectors = 8});
  kernel.FailCall(VFIO_DEVICE_SET_IRQS, 2, ENOSPC);
  kernel.FailCall(VFIO_DEVICE_SET_IRQS, 3, ENOSPC);
  interrupts->WriteMsixControl(kMsixEnable);
  Unmask(0);
  interrupts->WriteMsixControl(0);
  EXPECT_EQ(fake.irq_mode(), VFIO_PCI_INTX_IRQ_INDEX);
  kernel.FailCall(VFIO_DEVICE_SET_IRQS, 2, EIO);
  interrupts->WriteMsi(2, 2, 1);
  interrupts->WriteMsi(2, 2, 0);
  EXPECT_EQ(fake.irq_mode(), VFIO_PCI_INTX_IRQ_INDEX);
}

TEST_F(FunctionInterruptsTest, NothingIsConnectedWhenItIsGone) {
  fake.intx_unmask_eventfd = false;
  Create({.pin = 1, .msix_vectors = 8});
  interrupts.reset();
  EXPECT_EQ(fake.irq_mode(), -1);
}

}  // namespace
}  // namespace berth::vfio

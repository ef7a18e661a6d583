#include "vfio/device_interrupts.h"

#include <linux/vfio.h>

#include <cerrno>

#include "tests/vfio/vfio_device_fixture.h"

namespace berth::vfio {
namespace {

using Mode = DeviceInterrupts::Mode;
constexpr uint32_t kIntxFlags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;

struct DeviceInterruptsTest : VfioDeviceFixture {
  void SetUp() override {
    fake.irqs[VFIO_PCI_INTX_IRQ_INDEX] = {1, kIntxFlags, {}};
    fake.irqs[VFIO_PCI_MSI_IRQ_INDEX] = {4, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, {}};
    fake.irqs[VFIO_PCI_MSIX_IRQ_INDEX] = {64, VFIO_IRQ_INFO_EVENTFD, {}};
    for (UniqueFd& fd : eventfds) fd = std::move(*CreateEventFd());
  }
  void Open() {
    VfioDeviceFixture::Open();
    auto made = DeviceInterrupts::Create(device.get());
    ASSERT_TRUE(made) << made.error().message();
    interrupts = std::move(*made);
  }
  int fd(unsigned i) const { return eventfds[i].get(); }
  uint64_t Take(unsigned i) { return DrainEventFd(fd(i)); }

  UniqueFd eventfds[8];
  std::unique_ptr<DeviceInterrupts> interrupts;
};

TEST_F(DeviceInterruptsTest, IntxMasksItselfUntilUnmasked) {
  Open();
  ASSERT_TRUE(interrupts->EnableIntx(fd(0)));
  fake.SetIntx(true);
  EXPECT_EQ(Take(0), 1u);
  EXPECT_TRUE(fake.intx_masked());
  ASSERT_TRUE(interrupts->UnmaskIntx());
  EXPECT_EQ(Take(0), 1u);  // Still up.
}

TEST_F(DeviceInterruptsTest, IntxIsUnmaskedByAnEventfdWhereTheDriverCan) {
  Open();
  ASSERT_TRUE(interrupts->EnableIntx(fd(0)));
  ASSERT_TRUE(interrupts->ConnectIntxUnmask(fd(1)));
  fake.SetIntx(true);
  EXPECT_EQ(Take(0), 1u);
  SignalEventFd(fd(1));
  fake.ServeIntxUnmask();
  EXPECT_EQ(Take(0), 1u);
}

// docs/assigned-devices.md, 26: mtty answers ENOTTY.
TEST_F(DeviceInterruptsTest, ADriverWithoutUnmaskEventfdIsToldApart) {
  fake.intx_unmask_eventfd = false;
  Open();
  ASSERT_TRUE(interrupts->EnableIntx(fd(0)));
  EXPECT_EQ(interrupts->ConnectIntxUnmask(fd(1)).error().code(), Code::kUnimplemented);
  EXPECT_EQ(interrupts->mode(), Mode::kIntx);
}

// docs/assigned-devices.md, 25: the kernel answers EINVAL to a second kind of interrupt.
TEST_F(DeviceInterruptsTest, ChangingTheKindDisablesTheOneBefore) {
  Open();
  ASSERT_TRUE(interrupts->EnableIntx(fd(0)));
  ASSERT_TRUE(interrupts->EnableMsix(fd(1)));
  EXPECT_EQ(fake.irq_mode(), VFIO_PCI_MSIX_IRQ_INDEX);
  const int one[] = {fd(2)};
  ASSERT_EQ(interrupts->EnableMsi(one), 1u);
  EXPECT_EQ(fake.irq_mode(), VFIO_PCI_MSI_IRQ_INDEX);
  interrupts->Disable();
  EXPECT_EQ(fake.irq_mode(), -1);
  EXPECT_EQ(interrupts->mode(), Mode::kNone);
}

TEST_F(DeviceInterruptsTest, MsiTakesAsManyVectorsAsTheHostHas) {
  fake.host_vectors = 3;
  Open();
  const int four[] = {fd(0), fd(1), fd(2), fd(3)};
  EXPECT_EQ(interrupts->EnableMsi(four), 3u);
  fake.Raise(VFIO_PCI_MSI_IRQ_INDEX, 2);
  EXPECT_EQ(Take(2), 1u);
}

TEST_F(DeviceInterruptsTest, NoMsiVectorAtAllIsAnError) {
  fake.host_vectors = 0;
  Open();
  const int one[] = {fd(0)};
  EXPECT_EQ(interrupts->EnableMsi(one).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(interrupts->EnableMsix(fd(0)).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(interrupts->mode(), Mode::kNone);
}

// docs/assigned-devices.md, 27: on without any vector, then one by one.
TEST_F(DeviceInterruptsTest, MsixClaimsNoVectorThatNobodyUses) {
  Open();
  ASSERT_TRUE(interrupts->EnableMsix(fd(0)));
  EXPECT_EQ(fake.irq_mode(), VFIO_PCI_MSIX_IRQ_INDEX);
  EXPECT_EQ(fake.connected(VFIO_PCI_MSIX_IRQ_INDEX), 0u);
  ASSERT_TRUE(interrupts->ConnectMsix(5, fd(5)));
  ASSERT_TRUE(interrupts->ConnectMsix(0, fd(0)));
  EXPECT_EQ(fake.connected(VFIO_PCI_MSIX_IRQ_INDEX), 2u);
  fake.Raise(VFIO_PCI_MSIX_IRQ_INDEX, 5);
  EXPECT_EQ(Take(5), 1u);
  EXPECT_EQ(Take(0), 0u);
  ASSERT_TRUE(interrupts->ConnectMsix(5, -1));
  EXPECT_EQ(fake.connected(VFIO_PCI_MSIX_IRQ_INDEX), 1u);
}

TEST_F(DeviceInterruptsTest, MsixFallsBackToVectorZeroForDriversThatWantOne) {
  fake.refuses_msix_without_trigger = true;
  Open();
  ASSERT_TRUE(interrupts->EnableMsix(fd(0)));
  EXPECT_EQ(fake.connected(VFIO_PCI_MSIX_IRQ_INDEX), 1u);
}

TEST_F(DeviceInterruptsTest, ConnectingTheSameAgainDoesNothing) {
  Open();
  ASSERT_TRUE(interrupts->EnableMsix(fd(0)));
  ASSERT_TRUE(interrupts->ConnectMsix(1, fd(1)));
  const int before = kernel.Count(VFIO_DEVICE_SET_IRQS);
  ASSERT_TRUE(interrupts->ConnectMsix(1, fd(1)));
  ASSERT_TRUE(interrupts->ConnectMsix(7, -1));
  EXPECT_EQ(kernel.Count(VFIO_DEVICE_SET_IRQS), before);
}

// docs/assigned-devices.md, 27: without dynamic allocation all vectors are set up anew.
TEST_F(DeviceInterruptsTest, MsixThatCannotGrowIsSetUpAnewWithRoomToSpare) {
  fake.irqs[VFIO_PCI_MSIX_IRQ_INDEX].flags |= VFIO_IRQ_INFO_NORESIZE;
  Open();
  ASSERT_TRUE(interrupts->EnableMsix(fd(0)));
  for (unsigned i = 0; i < 8; ++i) ASSERT_TRUE(interrupts->ConnectMsix(i, fd(i))) << i;
  // 1, 2, 4, 8: three times anew, each a disable and an enable, between eight connections.
  EXPECT_LE(kernel.Count(VFIO_DEVICE_SET_IRQS), 1 + 8 + 3);
  for (unsigned i = 0; i < 8; ++i) Take(i);
  for (unsigned i = 0; i < 8; ++i) {
    fake.Raise(VFIO_PCI_MSIX_IRQ_INDEX, i);
    EXPECT_EQ(Take(i), 1u) << i;
  }
}

TEST_F(DeviceInterruptsTest, WhatWasRaisedWhileMsixGrewIsNotLost) {
  fake.irqs[VFIO_PCI_MSIX_IRQ_INDEX].flags |= VFIO_IRQ_INFO_NORESIZE;
  Open();
  ASSERT_TRUE(interrupts->EnableMsix(fd(0)));
  ASSERT_TRUE(interrupts->ConnectMsix(0, fd(0)));
  EXPECT_EQ(Take(0), 0u);
  ASSERT_TRUE(interrupts->ConnectMsix(3, fd(3)));
  EXPECT_EQ(Take(0), 1u);
}

TEST_F(DeviceInterruptsTest, AHostShortOfVectorsKeepsThoseThatWork) {
  fake.irqs[VFIO_PCI_MSIX_IRQ_INDEX].flags |= VFIO_IRQ_INFO_NORESIZE;
  fake.host_vectors = 3;
  Open();
  ASSERT_TRUE(interrupts->EnableMsix(fd(0)));
  ASSERT_TRUE(interrupts->ConnectMsix(0, fd(0)));
  ASSERT_TRUE(interrupts->ConnectMsix(1, fd(1)));
  ASSERT_TRUE(interrupts->ConnectMsix(2, fd(2)));  // Wants room for 4, gets 3.
  EXPECT_EQ(interrupts->ConnectMsix(3, fd(3)).error().code(), Code::kResourceExhausted);
  Take(1);
  fake.Raise(VFIO_PCI_MSIX_IRQ_INDEX, 1);
  EXPECT_EQ(Take(1), 1u);
}

TEST_F(DeviceInterruptsTest, VectorsAreIgnoredWhileMsixIsOff) {
  Open();
  EXPECT_TRUE(interrupts->ConnectMsix(1, fd(1)));
  EXPECT_EQ(kernel.Count(VFIO_DEVICE_SET_IRQS), 0);
  ASSERT_TRUE(interrupts->EnableMsix(fd(0)));
  EXPECT_TRUE(interrupts->ConnectMsix(64, fd(1)));  // Beyond the table.
  EXPECT_EQ(fake.connected(VFIO_PCI_MSIX_IRQ_INDEX), 0u);
}

TEST_F(DeviceInterruptsTest, AnEnableThatFailsLeavesNone) {
  Open();
  kernel.FailCall(VFIO_DEVICE_SET_IRQS, 1, EBUSY);
  EXPECT_FALSE(interrupts->EnableIntx(fd(0)));
  EXPECT_EQ(interrupts->mode(), Mode::kNone);
  kernel.FailCall(VFIO_DEVICE_SET_IRQS, 1, ENOSPC);
  kernel.FailCall(VFIO_DEVICE_SET_IRQS, 2, ENOSPC);
  EXPECT_EQ(interrupts->EnableMsix(fd(0)).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(interrupts->mode(), Mode::kNone);
  EXPECT_TRUE(interrupts->EnableIntx(fd(0)));
}

TEST_F(DeviceInterruptsTest, ReportsErrorsAndRequests) {
  fake.irqs[VFIO_PCI_ERR_IRQ_INDEX] = {1, VFIO_IRQ_INFO_EVENTFD, {}};
  Open();
  ASSERT_TRUE(interrupts->EnableMsix(fd(0)));
  ASSERT_TRUE(interrupts->ConnectError(fd(1)));
  ASSERT_TRUE(interrupts->ConnectRequest(fd(2)));
  fake.Raise(VFIO_PCI_ERR_IRQ_INDEX, 0);
  EXPECT_EQ(Take(1), 1u);
  EXPECT_EQ(Take(2), 0u);
}

TEST_F(DeviceInterruptsTest, ADeviceMayReportNeither) {
  fake.irqs[VFIO_PCI_REQ_IRQ_INDEX] = {};
  Open();
  EXPECT_EQ(interrupts->ConnectError(fd(1)).error().code(), Code::kUnimplemented);
  EXPECT_EQ(interrupts->ConnectRequest(fd(2)).error().code(), Code::kUnimplemented);
}

}  // namespace
}  // namespace berth::vfio

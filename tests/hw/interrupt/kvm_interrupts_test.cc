// On the host's KVM: skipped, loudly, where there is none.
#include "hw/interrupt/kvm_interrupts.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <chrono>
#include <optional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "kvm/uapi.h"

namespace berth::hw {
namespace {

constexpr MsiMessage kMessage{.address = 0xfee00000, .data = 0x41};
constexpr uint32_t kPin = 11;

class KvmInterruptsTest : public testing::Test {
 protected:
  void SetUp() override {
    UniqueFd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!kvm) GTEST_SKIP() << "no /dev/kvm on this host";
    system_.emplace(*kvm::System::Create(std::move(kvm)));
    vm_ = *kvm::Vm::Create(&*system_);
    interrupts_ = std::make_unique<KvmInterrupts>(vm_.get());
  }

  // The I/O APIC's Interrupt Request Register, which follows the levels of its pins.
  bool PinIsHigh(uint32_t pin) {
    kvm_irqchip chip{};
    chip.chip_id = KVM_IRQCHIP_IOAPIC;
    EXPECT_EQ(::ioctl(vm_->fd(), KVM_GET_IRQCHIP, &chip), 0);
    return (chip.chip.ioapic.irr >> pin & 1) != 0;
  }

  // Eventfds reach the pin by a work queue of the kernel's.
  bool AwaitPin(uint32_t pin) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!PinIsHigh(pin) && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    return PinIsHigh(pin);
  }

  std::optional<kvm::System> system_;
  std::unique_ptr<kvm::Vm> vm_;
  std::unique_ptr<KvmInterrupts> interrupts_;
};

TEST_F(KvmInterruptsTest, ALineIsHighAsLongAsAnyDriverHoldsItSo) {
  const int one = 0, other = 0;
  interrupts_->SetLevel(kPin, &one, true);
  interrupts_->SetLevel(kPin, &other, true);
  interrupts_->SetLevel(kPin + 1, &one, true);
  EXPECT_TRUE(PinIsHigh(kPin));
  interrupts_->SetLevel(kPin, &one, false);
  EXPECT_TRUE(PinIsHigh(kPin));
  interrupts_->SetLevel(kPin, &other, false);
  EXPECT_FALSE(PinIsHigh(kPin));
  EXPECT_TRUE(PinIsHigh(kPin + 1));
}

TEST_F(KvmInterruptsTest, ADriverThatLowersTwiceHoldsNothing) {
  const int driver = 0;
  interrupts_->SetLevel(kPin, &driver, true);
  interrupts_->SetLevel(kPin, &driver, true);
  interrupts_->SetLevel(kPin, &driver, false);
  EXPECT_FALSE(PinIsHigh(kPin));
  interrupts_->SetLevel(kPin, &driver, false);
  EXPECT_FALSE(PinIsHigh(kPin));
}

TEST_F(KvmInterruptsTest, TheEventFdOfALineRaisesItWhileItIsEnabled) {
  const auto line = *interrupts_->CreateIntxLine(kPin);
  SignalEventFd(line->trigger_eventfd());
  EXPECT_FALSE(PinIsHigh(kPin));
  // What was signalled before counts.
  ASSERT_TRUE(line->Enable());
  EXPECT_TRUE(AwaitPin(kPin));
  line->Disable();
  EXPECT_FALSE(PinIsHigh(kPin));
}

TEST_F(KvmInterruptsTest, ThereIsNoLineBeyondTheApicsPins) {
  EXPECT_FALSE(interrupts_->CreateIntxLine(kvm::Vm::kIoApicPins));
}

TEST_F(KvmInterruptsTest, ASignalWaitsBehindTheMask) {
  const auto vector = *interrupts_->CreateMsiVector();
  vector->Signal();
  EXPECT_TRUE(vector->masked());
  EXPECT_TRUE(vector->pending());
  ASSERT_TRUE(vector->Unmask(kMessage));
  // KVM has taken it.
  EXPECT_EQ(DrainEventFd(vector->eventfd()), 0u);
  EXPECT_FALSE(vector->pending());
  vector->Mask();
  vector->Signal();
  EXPECT_TRUE(vector->pending());
}

TEST_F(KvmInterruptsTest, VectorsInUseAreAsManyAsRoutesAndThoseNeverUnmaskedAreFree) {
  std::vector<std::unique_ptr<MsiVector>> idle, used;
  const uint32_t routes = vm_->max_routes() - kvm::Vm::kIoApicPins;
  for (uint32_t i = 0; i < 16; ++i) idle.push_back(*interrupts_->CreateMsiVector());
  std::vector<MsiVector*> batch;
  for (uint32_t i = 0; i < routes; ++i)
    batch.push_back(used.emplace_back(*interrupts_->CreateMsiVector()).get());
  ASSERT_TRUE(interrupts_->UnmaskAll(batch, std::vector<MsiMessage>(routes, kMessage)));
  const Status refused = idle[0]->Unmask(kMessage);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "INTERRUPT_ROUTES_EXHAUSTED");
  EXPECT_TRUE(idle[0]->masked());
  // A vector that is gone leaves its route to another.
  used.pop_back();
  EXPECT_TRUE(idle[0]->Unmask(kMessage));
}

}  // namespace
}  // namespace berth::hw

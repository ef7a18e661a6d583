#include "hw/virtio/pci_transport.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hw/pci/msix.h"
#include "hw/virtio/common_config.h"
#include "tests/fakes/fake_driver.h"
#include "tests/fakes/fake_pci_slot.h"

namespace berth::hw {
namespace {

constexpr uint64_t kBarAddress = 0x1'0000'0000;
constexpr uint64_t kRingFeatures =
    kVirtioVersion1 | kVirtioRingPacked | kVirtioRingIndirectDesc | kVirtioRingEventIdx;
// Offsets in struct virtio_pci_common_cfg (4.1.4.3).
constexpr unsigned kDeviceFeatureSelect = 0, kDeviceFeature = 4, kDriverFeatureSelect = 8,
                   kDriverFeature = 12, kConfigVector = 16, kNumQueues = 18, kDeviceStatus = 20,
                   kGeneration = 21, kQueueSelect = 22, kQueueSize = 24, kQueueVector = 26, kQueueEnable = 28,
                   kQueueNotifyOff = 30, kQueueDesc = 32, kQueueDriver = 40, kQueueDevice = 48;
constexpr uint8_t kUpToFeaturesOk = kStatusAcknowledge | kStatusDriver | kStatusFeaturesOk;

// Two queues, one feature, eight bytes of configuration, and a memory of what happened to it.
class RecordingDevice final : public VirtioDevice {
 public:
  struct Record {
    std::vector<std::string> calls;
    VirtioActivation activation;
    std::vector<VirtQueue*> queues;
    uint8_t config[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    bool fail_activate = false;
    bool gone = false;
  };
  explicit RecordingDevice(Record* record) : record_(*record) {}
  ~RecordingDevice() override { record_.gone = true; }

  VirtioType type() const override { return VirtioType::kRng; }
  uint64_t features() const override { return 1ull << 3 | kVirtioInOrder | 1ull << 50; }
  std::span<const uint16_t> queue_sizes() const override { return kSizes; }
  void ReadConfig(uint32_t offset, std::span<uint8_t> bytes) override {
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = offset + i < 8 ? record_.config[offset + i] : 0;
  }
  void WriteConfig(uint32_t offset, std::span<const uint8_t> bytes) override {
    for (size_t i = 0; i < bytes.size() && offset + i < 8; ++i) record_.config[offset + i] = bytes[i];
  }
  Status Activate(const VirtioActivation& activation) override {
    EXPECT_TRUE(activation.loop->OnLoopThread());
    record_.calls.emplace_back("activate");
    record_.activation = activation;
    record_.queues.assign(activation.queues.begin(), activation.queues.end());
    if (record_.fail_activate) return Fail(Code::kInternal, "the test wants it so");
    return Ok();
  }
  void Reset() override { record_.calls.emplace_back("reset"); }

 private:
  static constexpr std::array<uint16_t, 2> kSizes = {16, 8};
  Record& record_;
};

class PciTransportTest : public testing::Test {
 protected:
  PciTransportTest() : loop_(*EventLoop::Create()), thread_([this] { loop_->Run(); }) {
    while (!Running()) std::this_thread::yield();
    function_ = *CreateVirtioPciFunction("device", std::make_unique<RecordingDevice>(&record_),
                                         &ram_.memory(), loop_.get(), &slot_.fake_interrupts());
    record_.calls.clear();
    slot_.root_port = true;
    EXPECT_TRUE(function_->Attach(&slot_));
    function_->WriteConfig(0x10, 4, 0);
    function_->WriteConfig(0x14, 4, kBarAddress >> 32);
    function_->WriteConfig(pci::kCommand, 2, pci::kCommandMemory | pci::kCommandMaster);
  }
  ~PciTransportTest() override {
    function_.reset();
    EXPECT_TRUE(record_.gone);
    loop_->Stop();
    thread_.join();
  }
  bool Running() {
    bool there = false;
    loop_->Call([&] { there = loop_->OnLoopThread(); });
    return there;
  }

  // The capability of this structure, as a driver finds it; 0 if there is none.
  uint8_t FindStructure(uint8_t type) {
    for (auto at = static_cast<uint8_t>(function_->ReadConfig(pci::kCapabilityPointer, 1)); at != 0;
         at = static_cast<uint8_t>(function_->ReadConfig(at + 1, 1))) {
      if (function_->ReadConfig(at, 1) == pci::kCapVendor && function_->ReadConfig(at + 3, 1) == type)
        return at;
    }
    return 0;
  }
  uint8_t FindCapability(uint8_t id) {
    for (auto at = static_cast<uint8_t>(function_->ReadConfig(pci::kCapabilityPointer, 1)); at != 0;
         at = static_cast<uint8_t>(function_->ReadConfig(at + 1, 1))) {
      if (function_->ReadConfig(at, 1) == id) return at;
    }
    return 0;
  }
  uint64_t AddressOf(uint8_t type) { return kBarAddress + function_->ReadConfig(FindStructure(type) + 8, 4); }

  uint64_t Common(unsigned offset, unsigned size) { return reader_.Read(AddressOf(1) + offset, size); }
  void SetCommon(unsigned offset, unsigned size, uint64_t value) {
    reader_.Write(AddressOf(1) + offset, size, value);
  }
  uint8_t DeviceStatus() { return static_cast<uint8_t>(Common(kDeviceStatus, 1)); }

  void AcceptFeatures(uint64_t features) {
    for (unsigned half = 0; half < 2; ++half) {
      SetCommon(kDriverFeatureSelect, 4, half);
      SetCommon(kDriverFeature, 4, (features >> (32 * half)) & 0xffffffff);
    }
  }
  void SetUpQueue(uint16_t index, const QueueLayout& layout, uint16_t vector = kNoVector) {
    SetCommon(kQueueSelect, 2, index);
    SetCommon(kQueueSize, 2, layout.size);
    SetCommon(kQueueVector, 2, vector);
    SetCommon(kQueueDesc, 4, layout.descriptor_area & 0xffffffff);
    SetCommon(kQueueDesc + 4, 4, layout.descriptor_area >> 32);
    SetCommon(kQueueDriver, 8, layout.driver_area);
    SetCommon(kQueueDevice, 8, layout.device_area);
    SetCommon(kQueueEnable, 2, 1);
  }
  // As a driver brings it up, with queue 0 alone.
  void BringUp(uint16_t vector = kNoVector) {
    SetCommon(kDeviceStatus, 1, 0);
    SetCommon(kDeviceStatus, 1, kStatusAcknowledge);
    SetCommon(kDeviceStatus, 1, kStatusAcknowledge | kStatusDriver);
    AcceptFeatures(kVirtioVersion1);
    SetCommon(kDeviceStatus, 1, kUpToFeaturesOk);
    ASSERT_EQ(DeviceStatus(), kUpToFeaturesOk);
    driver_ = FakeDriver::Create(&ram_, 8, kVirtioVersion1);
    SetUpQueue(0, driver_->layout(), vector);
    SetCommon(kDeviceStatus, 1, kUpToFeaturesOk | kStatusDriverOk);
  }
  void EnableVector(uint16_t vector) {
    const uint8_t msix = FindCapability(pci::kCapMsix);
    const uint64_t table = kBarAddress + (function_->ReadConfig(msix + 4, 4) & ~7u);
    reader_.Write(table + 16 * vector, 8, 0xfee00000);
    reader_.Write(table + 16 * vector + 8, 8, 0x20 + vector);
    function_->WriteConfig(msix + 2, 2, 0x8000);
  }

  RecordingDevice::Record record_;
  FakeRam ram_;
  FakePciSlot slot_;
  ViewReader reader_{slot_.memory_space()};
  std::unique_ptr<EventLoop> loop_;
  std::thread thread_;
  std::unique_ptr<PciFunction> function_;
  std::unique_ptr<FakeDriver> driver_;
};

TEST_F(PciTransportTest, IsAModernVirtioFunction) {
  EXPECT_EQ(function_->ReadConfig(0, 4), 0x10441af4u);
  EXPECT_GE(function_->ReadConfig(pci::kRevisionId, 1), 1u);
  EXPECT_GE(function_->ReadConfig(pci::kSubsystemId, 2), 0x40u);
  EXPECT_EQ(function_->ReadConfig(pci::kInterruptPin, 1), 0u);
  ASSERT_EQ(function_->bars().size(), 1u);
  EXPECT_TRUE(function_->bars()[0].is_64bit);
  EXPECT_EQ(function_->ReadConfig(FindCapability(pci::kCapMsix) + 2, 2) & 0x7ff, 2u);  // Three vectors.
  EXPECT_EQ(function_->ReadConfig(FindCapability(pci::kCapExpress) + 2, 2) >> 4 & 15, pci::kExpressEndpoint);
}

TEST_F(PciTransportTest, EveryStructureIsThereAndInsideTheBar) {
  for (const uint8_t type : {1, 2, 3, 4}) {
    const uint8_t at = FindStructure(type);
    ASSERT_NE(at, 0) << int{type};
    EXPECT_EQ(function_->ReadConfig(at + 4, 1), 0u);
    const uint64_t end = uint64_t{function_->ReadConfig(at + 8, 4)} + function_->ReadConfig(at + 12, 4);
    EXPECT_LE(end, function_->bars()[0].size);
  }
  EXPECT_EQ(function_->ReadConfig(FindStructure(2) + 2, 1), 20u);
  EXPECT_EQ(function_->ReadConfig(FindStructure(2) + 16, 4), 4u) << "notify_off_multiplier";
  EXPECT_NE(FindStructure(5), 0);
}

TEST_F(PciTransportTest, OffersTheRingsFeaturesAndTheDevicesOwn) {
  SetCommon(kDeviceFeatureSelect, 4, 0);
  const uint64_t low = Common(kDeviceFeature, 4);
  SetCommon(kDeviceFeatureSelect, 4, 1);
  const uint64_t high = Common(kDeviceFeature, 4);
  EXPECT_EQ(low | high << 32, kRingFeatures | 1ull << 3 | 1ull << 50)
      << "IN_ORDER is not the device's to offer";
  SetCommon(kDeviceFeatureSelect, 4, 2);
  EXPECT_EQ(Common(kDeviceFeature, 4), 0u);
}

TEST_F(PciTransportTest, BringUpActivatesTheDevice) {
  BringUp();
  EXPECT_THAT(record_.calls, testing::ElementsAre("reset", "activate"));
  EXPECT_EQ(DeviceStatus(), kUpToFeaturesOk | kStatusDriverOk);
  EXPECT_EQ(record_.activation.features, kVirtioVersion1);
  ASSERT_EQ(record_.queues.size(), 2u);
  ASSERT_NE(record_.queues[0], nullptr);
  EXPECT_EQ(record_.queues[0]->layout().descriptor_area, driver_->layout().descriptor_area);
  EXPECT_EQ(record_.queues[1], nullptr) << "not enabled";
  EXPECT_EQ(DrainEventFd(record_.queues[0]->kick_fd()), 1u) << "each queue is looked at once";
}

TEST_F(PciTransportTest, DriverOkWithoutAnyQueueIsTheDriversOwnBusiness) {
  AcceptFeatures(kVirtioVersion1);
  SetCommon(kDeviceStatus, 1, kUpToFeaturesOk | kStatusDriverOk);
  EXPECT_THAT(record_.calls, testing::ElementsAre("activate"));
  EXPECT_THAT(record_.queues, testing::ElementsAre(nullptr, nullptr));
}

TEST_F(PciTransportTest, FeaturesThatWereNotOfferedAreRefused) {
  for (const uint64_t features :
       {kVirtioVersion1 | 1, kVirtioVersion1 | kVirtioInOrder, uint64_t{0}, ~uint64_t{0}}) {
    SetCommon(kDeviceStatus, 1, 0);
    AcceptFeatures(features);
    SetCommon(kDeviceStatus, 1, kUpToFeaturesOk);
    EXPECT_EQ(DeviceStatus(), kStatusAcknowledge | kStatusDriver) << features;
    SetCommon(kDeviceStatus, 1, kUpToFeaturesOk | kStatusDriverOk);
    EXPECT_EQ(DeviceStatus(), kStatusAcknowledge | kStatusDriver) << "no DRIVER_OK without FEATURES_OK";
  }
  EXPECT_THAT(record_.calls, testing::Not(testing::Contains("activate")));
}

TEST_F(PciTransportTest, FeaturesAreFrozenByFeaturesOk) {
  AcceptFeatures(kVirtioVersion1);
  SetCommon(kDeviceStatus, 1, kUpToFeaturesOk);
  AcceptFeatures(kRingFeatures);
  SetCommon(kDeviceStatus, 1, kUpToFeaturesOk | kStatusDriverOk);
  EXPECT_EQ(record_.activation.features, kVirtioVersion1);
}

TEST_F(PciTransportTest, StatusBitsAreNotClearedButByReset) {
  BringUp();
  SetCommon(kDeviceStatus, 1, kStatusAcknowledge);
  EXPECT_EQ(DeviceStatus(), kUpToFeaturesOk | kStatusDriverOk);
  SetCommon(kDeviceStatus, 1, kStatusNeedsReset | 0x30);
  EXPECT_EQ(DeviceStatus(), kUpToFeaturesOk | kStatusDriverOk)
      << "neither NEEDS_RESET nor what does not exist";
  SetCommon(kDeviceStatus, 1, kStatusFailed);
  EXPECT_EQ(DeviceStatus(), kUpToFeaturesOk | kStatusDriverOk | kStatusFailed);
  EXPECT_THAT(record_.calls, testing::ElementsAre("reset", "activate"));
}

TEST_F(PciTransportTest, ResetForgetsEverything) {
  BringUp(1);
  SetCommon(kConfigVector, 2, 0);
  record_.calls.clear();
  SetCommon(kDeviceStatus, 1, 0);
  EXPECT_THAT(record_.calls, testing::ElementsAre("reset"));
  EXPECT_EQ(DeviceStatus(), 0);
  EXPECT_EQ(Common(kConfigVector, 2), kNoVector);
  EXPECT_EQ(Common(kQueueSize, 2), 16u);
  EXPECT_EQ(Common(kQueueVector, 2), kNoVector);
  EXPECT_EQ(Common(kQueueEnable, 2), 0u);
  EXPECT_EQ(Common(kQueueDesc, 8), 0u);
  SetCommon(kDriverFeatureSelect, 4, 1);
  EXPECT_EQ(Common(kDriverFeature, 4), 0u);
  BringUp();
  EXPECT_THAT(record_.calls, testing::ElementsAre("reset", "reset", "activate"));
}

TEST_F(PciTransportTest, QueueFieldsFollowTheSelector) {
  EXPECT_EQ(Common(kNumQueues, 2), 2u);
  SetCommon(kQueueSelect, 2, 1);
  EXPECT_EQ(Common(kQueueSize, 2), 8u);
  EXPECT_EQ(Common(kQueueNotifyOff, 2), 1u);
  for (const uint16_t nowhere : {2, 0xffff}) {
    SetCommon(kQueueSelect, 2, nowhere);
    EXPECT_EQ(Common(kQueueSize, 2), 0u) << "a queue that is not available";
    SetCommon(kQueueSize, 2, 4);
    SetCommon(kQueueEnable, 2, 1);
    EXPECT_EQ(Common(kQueueEnable, 2), 0u);
  }
}

TEST_F(PciTransportTest, QueueSizesOverTheLargestAreDropped) {
  SetCommon(kQueueSize, 2, 32);
  EXPECT_EQ(Common(kQueueSize, 2), 16u);
  SetCommon(kQueueSize, 2, 5);
  EXPECT_EQ(Common(kQueueSize, 2), 16u) << "split rings are powers of two";
  SetCommon(kQueueSize, 2, 4);
  EXPECT_EQ(Common(kQueueSize, 2), 4u);
  AcceptFeatures(kVirtioVersion1 | kVirtioRingPacked);
  SetCommon(kQueueSize, 2, 5);
  EXPECT_EQ(Common(kQueueSize, 2), 5u);
}

TEST_F(PciTransportTest, AVectorThatIsNotThereReadsAsNone) {
  SetCommon(kConfigVector, 2, 3);
  EXPECT_EQ(Common(kConfigVector, 2), kNoVector);
  SetCommon(kConfigVector, 2, 2);
  EXPECT_EQ(Common(kConfigVector, 2), 2u);
  SetCommon(kQueueVector, 2, 3);
  EXPECT_EQ(Common(kQueueVector, 2), kNoVector);
  SetCommon(kQueueVector, 2, 1);
  EXPECT_EQ(Common(kQueueVector, 2), 1u);
}

TEST_F(PciTransportTest, AnEnabledQueueStaysAsItIs) {
  BringUp(1);
  SetCommon(kQueueDesc, 8, 0);
  SetCommon(kQueueSize, 2, 2);
  SetCommon(kQueueEnable, 2, 0);
  SetCommon(kQueueVector, 2, 0);
  EXPECT_EQ(Common(kQueueDesc, 8), driver_->layout().descriptor_area);
  EXPECT_EQ(Common(kQueueSize, 2), 8u);
  EXPECT_EQ(Common(kQueueEnable, 2), 1u);
  EXPECT_EQ(Common(kQueueVector, 2), 1u);
  SetCommon(kQueueSelect, 2, 1);
  SetCommon(kQueueEnable, 2, 1);
  EXPECT_EQ(Common(kQueueEnable, 2), 0u) << "too late after DRIVER_OK";
}

TEST_F(PciTransportTest, AQueueThatIsNotInRamNeedsAReset) {
  EnableVector(0);
  SetCommon(kConfigVector, 2, 0);
  AcceptFeatures(kVirtioVersion1);
  SetCommon(kDeviceStatus, 1, kUpToFeaturesOk);
  SetUpQueue(0, {.size = 8, .descriptor_area = 1ull << 40, .driver_area = 0, .device_area = 0});
  SetCommon(kDeviceStatus, 1, kUpToFeaturesOk | kStatusDriverOk);
  EXPECT_EQ(DeviceStatus(), kUpToFeaturesOk | kStatusDriverOk | kStatusNeedsReset);
  EXPECT_THAT(record_.calls, testing::ElementsAre()) << "the device is not told of it";
  EXPECT_EQ(slot_.fake_interrupts().vector(0)->TakeInterrupts(), 1u);
  SetCommon(kDeviceStatus, 1, 0);
  EXPECT_EQ(DeviceStatus(), 0);
}

TEST_F(PciTransportTest, AnActivationThatFailsNeedsAReset) {
  record_.fail_activate = true;
  BringUp();
  EXPECT_EQ(DeviceStatus(), kUpToFeaturesOk | kStatusDriverOk | kStatusNeedsReset);
  record_.fail_activate = false;
  BringUp();
  EXPECT_EQ(DeviceStatus(), kUpToFeaturesOk | kStatusDriverOk);
}

TEST_F(PciTransportTest, DoorbellsAreEventFdsAndAnswerTraps) {
  BringUp();
  const auto view = slot_.memory_space().view();
  ASSERT_EQ(view->io_events.size(), 2u);
  EXPECT_EQ(view->io_events[0].address, AddressOf(2));
  EXPECT_EQ(view->io_events[1].address, AddressOf(2) + 4);
  const int kick = record_.queues[0]->kick_fd();
  EXPECT_EQ(view->io_events[0].event.eventfd, kick);
  DrainEventFd(kick);
  reader_.Write(AddressOf(2), 2, 0);
  EXPECT_EQ(DrainEventFd(kick), 1u);
  reader_.Write(AddressOf(2) + 4, 2, 1);
  reader_.Write(AddressOf(2) + 2, 2, 0);
  EXPECT_EQ(DrainEventFd(kick), 0u);
}

TEST_F(PciTransportTest, ARingBeforeDriverOkIsServedAtActivation) {
  reader_.Write(AddressOf(2), 2, 0);
  BringUp();
  EXPECT_NE(DrainEventFd(record_.queues[0]->kick_fd()), 0u);
  reader_.Write(AddressOf(2), 2, 0);
  SetCommon(kDeviceStatus, 1, 0);
  AcceptFeatures(kVirtioVersion1);
  SetCommon(kDeviceStatus, 1, kUpToFeaturesOk);
  SetUpQueue(0, driver_->layout());
  SetCommon(kDeviceStatus, 1, kUpToFeaturesOk | kStatusDriverOk);
  EXPECT_EQ(DrainEventFd(record_.queues[0]->kick_fd()), 1u) << "nothing is left of the time before the reset";
}

TEST_F(PciTransportTest, AQueueInterruptsThroughItsVector) {
  EnableVector(1);
  BringUp(1);
  driver_->Add({driver_->Writable(4)});
  loop_->Call([this] {
    record_.queues[0]->Push(**record_.queues[0]->Pop(), 4);
    record_.queues[0]->Notify();
  });
  EXPECT_EQ(slot_.fake_interrupts().vector(1)->TakeInterrupts(), 1u);
  EXPECT_EQ(slot_.fake_interrupts().vector(1)->message(), (MsiMessage{0xfee00000, 0x21}));
  EXPECT_EQ(driver_->TakeUsed()->written, 4u);
}

TEST_F(PciTransportTest, AChangeOfTheConfigurationInterruptsAndRaisesTheGeneration) {
  EnableVector(0);
  SetCommon(kConfigVector, 2, 0);
  SetCommon(kDeviceStatus, 1, 0);
  SetCommon(kConfigVector, 2, 0);
  AcceptFeatures(kVirtioVersion1);
  SetCommon(kDeviceStatus, 1, kUpToFeaturesOk | kStatusDriverOk);
  const uint64_t before = Common(kGeneration, 1);
  loop_->Call([this] {
    record_.config[0] = 99;
    record_.activation.transport->ConfigChanged();
  });
  EXPECT_EQ(slot_.fake_interrupts().vector(0)->TakeInterrupts(), 1u);
  EXPECT_EQ(reader_.Read(AddressOf(4), 1), 99u);
  EXPECT_NE(Common(kGeneration, 1), before);
  EXPECT_EQ(reader_.Read(AddressOf(3), 1), 2u) << "interrupt status: configuration";
  EXPECT_EQ(reader_.Read(AddressOf(3), 1), 0u) << "reading clears it";
}

// Without DRIVER_OK there are no notifications (2.1.2).
TEST_F(PciTransportTest, NothingInterruptsAfterAReset) {
  EnableVector(0);
  BringUp();
  VirtioTransport* transport = record_.activation.transport;
  SetCommon(kDeviceStatus, 1, 0);
  SetCommon(kConfigVector, 2, 0);
  loop_->Call([transport] { transport->ConfigChanged(); });
  EXPECT_EQ(slot_.fake_interrupts().vector(0)->TakeInterrupts(), 0u);
  EXPECT_EQ(reader_.Read(AddressOf(3), 1), 0u);
}

TEST_F(PciTransportTest, DeviceConfigurationTakesAnyAccess) {
  EXPECT_EQ(reader_.Read(AddressOf(4), 8), 0x0807060504030201u);
  EXPECT_EQ(reader_.Read(AddressOf(4) + 6, 4), 0x0807u);
  EXPECT_EQ(reader_.Read(AddressOf(4) + 0xffc, 4), 0u);
  reader_.Write(AddressOf(4) + 6, 4, 0xaabbccdd);
  EXPECT_EQ(reader_.Read(AddressOf(4) + 4, 4), 0xccdd0605u);
}

TEST_F(PciTransportTest, AccessesOfAWrongWidthChangeNothing) {
  SetCommon(kDeviceStatus, 4, 0x00000f0f);
  SetCommon(kQueueSelect, 1, 1);
  SetCommon(kQueueSize + 1, 1, 0);
  SetCommon(kQueueDesc + 1, 4, ~0u);
  SetCommon(kQueueDevice + 5, 4, ~0u);
  SetCommon(kQueueDevice + 8, 4, ~0u);
  SetCommon(CommonConfig::kSize - 4, 8, ~0ull);
  EXPECT_EQ(DeviceStatus(), 0);
  EXPECT_EQ(Common(kQueueSelect, 2), 0u);
  EXPECT_EQ(Common(kQueueSize, 2), 16u);
  EXPECT_EQ(Common(kQueueDesc, 8), 0u);
  EXPECT_EQ(Common(kQueueDevice, 8), 0u);
}

TEST_F(PciTransportTest, TheWindowInConfigurationSpaceReachesEveryStructure) {
  const uint8_t window = FindStructure(5);
  const auto aim = [&](uint32_t offset, uint32_t length) {
    function_->WriteConfig(window + 4, 1, 0);
    function_->WriteConfig(window + 8, 4, offset);
    function_->WriteConfig(window + 12, 4, length);
  };
  aim(static_cast<uint32_t>(AddressOf(1) - kBarAddress) + kDeviceStatus, 1);
  function_->WriteConfig(window + 16, 4, 0xffffff00 | kStatusAcknowledge);
  EXPECT_EQ(DeviceStatus(), kStatusAcknowledge);
  EXPECT_EQ(function_->ReadConfig(window + 16, 1), kStatusAcknowledge);
  aim(static_cast<uint32_t>(AddressOf(4) - kBarAddress) + 4, 4);
  EXPECT_EQ(function_->ReadConfig(window + 16, 4), 0x08070605u);
}

TEST_F(PciTransportTest, AWindowAimedAtNothingDoesNothing) {
  const uint8_t window = FindStructure(5);
  for (const auto& [bar, offset, length] : {std::tuple(1, 20u, 1u),
                                            {0, 20u, 3u},
                                            {0, 20u, 0u},
                                            {0, 21u, 2u},
                                            {0, 0xffffffffu, 1u},
                                            {0, 0xfffffffcu, 4u},
                                            {0, 0x800u, 4u},
                                            {0, 20u, 0xffffffffu}}) {
    function_->WriteConfig(window + 4, 1, bar);
    function_->WriteConfig(window + 8, 4, offset);
    function_->WriteConfig(window + 12, 4, length);
    function_->WriteConfig(window + 16, 4, 0x01010101);
    EXPECT_EQ(function_->ReadConfig(window + 16, 4), 0x01010101u);
    EXPECT_EQ(DeviceStatus(), 0);
  }
}

TEST_F(PciTransportTest, TheBusesResetReachesTheDevice) {
  BringUp();
  record_.calls.clear();
  function_->Reset();
  EXPECT_THAT(record_.calls, testing::ElementsAre("reset"));
  EXPECT_EQ(function_->ReadConfig(pci::kCommand, 2), 0u);
  EXPECT_EQ(function_->ReadConfig(0x14, 4), 0u);
  EXPECT_EQ(slot_.memory_space().view()->Find(kBarAddress), nullptr);
  EXPECT_EQ(function_->ReadConfig(FindCapability(pci::kCapMsix) + 2, 2), 2u);
}

TEST_F(PciTransportTest, AFunctionLevelResetIsAReset) {
  BringUp();
  record_.calls.clear();
  const unsigned control = FindCapability(pci::kCapExpress) + 8;
  function_->WriteConfig(control, 2, 0x8000);
  EXPECT_THAT(record_.calls, testing::ElementsAre("reset"));
  EXPECT_EQ(function_->ReadConfig(control, 2), 0u);
}

TEST_F(PciTransportTest, ResetsWhileTheDeviceReportsChangesDoNotDeadlock) {
  BringUp();
  VirtioTransport* transport = record_.activation.transport;
  std::atomic<bool> stop{false};
  // The device side, on its loop, and a second vCPU that reads.
  std::function<void()> report = [&] {
    transport->ConfigChanged();
    transport->NeedsReset("the test wants it so");
    if (!stop) loop_->Post(report);
  };
  loop_->Post(report);
  const uint64_t common = AddressOf(1), config = AddressOf(4);
  std::thread vcpu([&] {
    ViewReader reader(slot_.memory_space());
    while (!stop) {
      reader.Read(common + kDeviceStatus, 1);
      reader.Read(config, 4);
      reader.Write(common + kQueueSelect, 2, 1);
    }
  });
  for (int i = 0; i < 200; ++i) {
    SetCommon(kDeviceStatus, 1, 0);
    AcceptFeatures(kVirtioVersion1);
    SetCommon(kDeviceStatus, 1, kUpToFeaturesOk | kStatusDriverOk);
  }
  stop = true;
  vcpu.join();
  loop_->Call([] {});
}

TEST(PciTransport, CreationFailsWithTheHostsReason) {
  FakePciSlot slot;
  FakeRam ram;
  auto loop = *EventLoop::Create();
  RecordingDevice::Record record;
  slot.fake_interrupts().fail_call = 2;
  const auto function = CreateVirtioPciFunction("rng0", std::make_unique<RecordingDevice>(&record),
                                                &ram.memory(), loop.get(), &slot.interrupts());
  ASSERT_FALSE(function);
  EXPECT_THAT(function.error().message(), testing::StartsWith("rng0: MSI-X vector 1"));
}

}  // namespace
}  // namespace berth::hw

// virtio-scsi over block nodes in memory, and its driver.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hw/virtio/scsi.h"
#include "hw/virtio/scsi_sense.h"
#include "tests/fakes/fake_block_node.h"
#include "tests/fakes/fake_virtio.h"

namespace berth::hw {

class VirtioScsiTest : public testing::Test {
 protected:
  static constexpr unsigned kControl = 0, kEvents = 1, kRequests = 2;
  static constexpr size_t kRequestBytes = 51, kResponseBytes = 108;  // By default.

  // What a driver reads in a response.
  struct Answer {
    uint8_t response = 0xee, status = 0xee;
    uint32_t resid = 0;
    ScsiSense sense;
    std::string data;  // Without what the device did not fill.
    uint8_t At(size_t index) const { return static_cast<uint8_t>(data.at(index)); }
    uint64_t Number(size_t index, size_t bytes) const {
      uint64_t value = 0;
      for (size_t i = 0; i < bytes; ++i) value = value << 8 | At(index + i);
      return value;
    }
  };

  // One unit a node, of 1 MiB.
  std::shared_ptr<block::FakeBlockNode> Add(const ScsiUnitOptions& options, uint64_t size_bytes = 1 << 20) {
    auto node = std::make_shared<block::FakeBlockNode>(size_bytes);
    units.push_back({options, node});
    return node;
  }
  void Start(uint64_t features = ~uint64_t{0}, uint16_t queues = 1) {
    auto created = CreateVirtioScsi({.name = "scsi", .queues = queues}, units);
    ASSERT_TRUE(created) << created.error().message();
    device = std::move(*created);
    virtio = std::make_unique<FakeVirtio>(device.get());
    ASSERT_TRUE(virtio->Activate(features & device->features()));
  }
  // Past the attention that a unit has after its start.
  void StartQuietly() {
    Start();
    for (uint8_t lun = 0; lun < units.size(); ++lun) EXPECT_EQ(Do(lun, {0x00}).sense, sense::kPowerOn);
  }
  void TearDown() override {
    if (virtio == nullptr) return;
    EXPECT_THAT(virtio->transport().needs_reset, testing::SizeIs(expected_resets));
    virtio.reset();
  }

  static std::string Lun(uint8_t lun) { return {1, 0, 0x40, static_cast<char>(lun), 0, 0, 0, 0}; }

  // A request that waits to be answered.
  struct Pending {
    FakeBuffer response, data;
  };
  Pending Post(const std::string& lun, std::initializer_list<uint8_t> cdb, std::string_view data_out = "",
               uint32_t data_in = 0, uint64_t id = 1, unsigned queue = kRequests) {
    std::string header = lun + std::string(kRequestBytes - 8, '\0');
    StoreLe(header.data() + 8, id);
    std::copy(cdb.begin(), cdb.end(), header.begin() + 19);
    FakeDriver& driver = virtio->driver(queue);
    std::vector<FakeBuffer> chain = {driver.Readable(header)};
    if (!data_out.empty()) chain.push_back(driver.Readable(data_out));
    Pending pending{driver.Writable(kResponseBytes), {}};
    std::fill_n(virtio->ram().At(pending.response.address, kResponseBytes), kResponseBytes, uint8_t{0xee});
    chain.push_back(pending.response);
    if (data_in != 0) chain.push_back(pending.data = driver.Writable(data_in));
    driver.Add(chain);
    return pending;
  }
  Answer Read(const Pending& pending, uint32_t written) {
    const uint8_t* const bytes = virtio->ram().At(pending.response.address, kResponseBytes);
    Answer answer{.response = bytes[11], .status = bytes[10], .resid = LoadLe<uint32_t>(bytes + 4)};
    if (LoadLe<uint32_t>(bytes) >= 14) answer.sense = {bytes[14], bytes[24], bytes[25]};
    if (written > kResponseBytes)
      answer.data = virtio->ram().Text(pending.data.address, written - kResponseBytes);
    return answer;
  }
  Answer DoAt(const std::string& lun, std::initializer_list<uint8_t> cdb, std::string_view data_out = "",
              uint32_t data_in = 0) {
    const Pending pending = Post(lun, cdb, data_out, data_in);
    virtio->Kick(kRequests);
    const auto used = virtio->driver(kRequests).TakeUsed();
    EXPECT_TRUE(used) << "the request was not answered";
    return Read(pending, used ? used->written : 0);
  }
  Answer Do(uint8_t lun, std::initializer_list<uint8_t> cdb, std::string_view data_out = "",
            uint32_t data_in = 0) {
    return DoAt(Lun(lun), cdb, data_out, data_in);
  }

  std::vector<VirtioScsi::Unit> units;
  std::unique_ptr<VirtioScsi> device;
  std::unique_ptr<FakeVirtio> virtio;
  size_t expected_resets = 0;
};

}  // namespace berth::hw

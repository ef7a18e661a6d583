// A PCI function of memory and port BARs that a test chooses, each answering reads with a byte of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hw/pci/bars.h"
#include "hw/pci/config_space.h"

namespace berth::hw {

class FakePciFunction final : public PciFunction {
 public:
  FakePciFunction(std::string name, uint8_t answer, const std::vector<BarRequest>& requests)
      : name_(std::move(name)), config_({.vendor_id = 0x1234, .device_id = answer}), handler_(answer) {
    for (const BarRequest& request : requests) {
      regions_.emplace_back(new Region(Region::Io(name_, request.size, &handler_)));
      bars_.Define(request, regions_.back().get());
    }
  }
  const std::string& name() const override { return name_; }
  uint32_t ReadConfig(uint16_t offset, unsigned size) override {
    return Bars::Holds(offset) ? bars_.ReadConfig(offset, size) : config_.Read(offset, size);
  }
  void WriteConfig(uint16_t offset, unsigned size, uint32_t value) override {
    if (Bars::Holds(offset)) {
      bars_.WriteConfig(offset, size, value);
    } else {
      config_.Write(offset, size, value);
    }
    bars_.Update(config_.command() & pci::kCommandMemory, config_.command() & pci::kCommandIo);
  }
  void Reset() override {
    ++resets;
    config_.Set<uint16_t>(pci::kCommand, 0);
    bars_.Reset();
  }
  std::span<const BarRequest> bars() const override { return bars_.requests(); }
  Status Attach(PciSlot* where) override {
    if (refuse) return Fail(Code::kResourceExhausted, "{} does not want to", name_);
    slot = where;
    bars_.Attach(where);
    return Ok();
  }

  PciSlot* slot = nullptr;
  std::shared_ptr<int> alive = std::make_shared<int>();  // For weak pointers.
  int resets = 0;
  bool refuse = false;

 private:
  struct Handler final : IoHandler {
    explicit Handler(uint8_t byte) : answer(byte) {}
    uint64_t Read(uint64_t, unsigned size) override { return 0x0101010101010101 * answer & AllOnes(size); }
    void Write(uint64_t, unsigned, uint64_t) override {}
    const uint8_t answer;
  };
  const std::string name_;
  ConfigSpace config_;
  Handler handler_;
  std::vector<std::unique_ptr<Region>> regions_;
  Bars bars_;
};

}  // namespace berth::hw

// The driver's side of one virtqueue, in test RAM: behaves as a guest's driver would, and lies when it is
// told to.
#pragma once

#include <deque>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "hw/virtio/queue.h"
#include "tests/fakes/fake_ram.h"

namespace berth::hw {

// One buffer of a chain.
struct FakeBuffer {
  uint64_t address = 0;
  uint32_t size = 0;
  bool writable = false;
};

class FakeDriver {
 public:
  struct Used {
    uint16_t id = 0;
    uint32_t written = 0;
    friend bool operator==(const Used&, const Used&) = default;
  };

  // Allocates rings in `ram` (which outlives it): packed if the features say so, else split.
  static std::unique_ptr<FakeDriver> Create(FakeRam* ram, uint16_t size, uint64_t features);
  virtual ~FakeDriver() = default;

  const QueueLayout& layout() const { return layout_; }
  FakeRam& ram() { return ram_; }

  // Makes a chain available, through an indirect table if asked, and returns its id. The test keeps to the
  // room there is.
  virtual uint16_t Add(std::span<const FakeBuffer> buffers, bool indirect = false) = 0;
  uint16_t Add(std::initializer_list<FakeBuffer> buffers, bool indirect = false) {
    return Add(std::span(buffers.begin(), buffers.size()), indirect);
  }
  // Makes a chain available that is one indirect table of `size_bytes` at `address`, whatever is there.
  virtual void AddTable(uint64_t address, uint32_t size_bytes) = 0;
  // The next used chain, if there is one.
  virtual std::optional<Used> TakeUsed() = 0;
  // Whether the device wants a kick for what was added since the last call.
  virtual bool KickWanted() = 0;
  // Whether the device shall interrupt; with the event index, when the next chain is used.
  virtual void EnableInterrupts() = 0;
  virtual void DisableInterrupts() = 0;

  // A buffer for the device to read, with this content, or to write.
  FakeBuffer Readable(std::string_view content) {
    return {ram_.AllocateWith(content), static_cast<uint32_t>(content.size()), false};
  }
  FakeBuffer Writable(uint32_t size) { return {ram_.Allocate(size), size, true}; }

 protected:
  FakeDriver(FakeRam* ram, QueueLayout layout, uint64_t features)
      : ram_(*ram), layout_(layout), features_(features) {}
  bool Has(uint64_t feature) const { return (features_ & feature) != 0; }

  FakeRam& ram_;
  const QueueLayout layout_;
  const uint64_t features_;
};

// Split rings, with the means to write nonsense into them.
class FakeSplitDriver final : public FakeDriver {
 public:
  FakeSplitDriver(FakeRam* ram, uint16_t size, uint64_t features);
  using FakeDriver::Add;
  uint16_t Add(std::span<const FakeBuffer> buffers, bool indirect = false) override;
  void AddTable(uint64_t address, uint32_t size_bytes) override;
  std::optional<Used> TakeUsed() override;
  bool KickWanted() override;
  void EnableInterrupts() override;
  void DisableInterrupts() override;

  void SetDescriptor(uint16_t index, uint64_t address, uint32_t length, uint16_t flags, uint16_t next);
  // Puts a head into the available ring, whatever it is, and moves the index on.
  void MakeAvailable(uint16_t head);
  void SetAvailableIndex(uint16_t index);

 private:
  void WriteDescriptor(uint64_t table, uint16_t index, const FakeBuffer& buffer, bool last, uint16_t next);

  std::deque<uint16_t> free_;
  std::vector<std::vector<uint16_t>> chains_;  // Descriptors of the chain with this head.
  uint16_t available_index_ = 0, kicked_index_ = 0, used_index_ = 0;
};

// The same for packed rings.
class FakePackedDriver final : public FakeDriver {
 public:
  FakePackedDriver(FakeRam* ram, uint16_t size, uint64_t features);
  using FakeDriver::Add;
  uint16_t Add(std::span<const FakeBuffer> buffers, bool indirect = false) override;
  void AddTable(uint64_t address, uint32_t size_bytes) override;
  std::optional<Used> TakeUsed() override;
  bool KickWanted() override;
  void EnableInterrupts() override;
  void DisableInterrupts() override;

  // Writes a descriptor as it stands; `flags` include the available and used bits.
  void SetDescriptor(uint16_t index, uint64_t address, uint32_t length, uint16_t id, uint16_t flags);
  // The available and used bits that make the next free descriptor available.
  uint16_t AvailableBits() const;

 private:
  struct Position {
    uint16_t index = 0;
    bool wrap = true;
  };
  void Advance(Position* position, uint16_t by) const;
  uint16_t TakeId(uint16_t entries);

  std::deque<uint16_t> free_ids_;
  std::vector<uint16_t> entries_;  // Ring entries of the chain with this id.
  Position next_, used_;
  uint16_t unkicked_ = 0;  // Entries made available since the last KickWanted.
};

}  // namespace berth::hw

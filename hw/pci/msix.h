// The MSI-X capability, its table and its pending bits. PCI Local Bus 3.0, 6.8.2.
//
// A vector exists (eventfd) from the start and costs a route and an irqfd only while it is unmasked, so
// guests with thousands of vectors stay within the hypervisor's budget. Table accesses come from several vCPU
// threads.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "hw/interrupt/interrupt.h"
#include "hw/memory/region.h"
#include "hw/pci/config_space.h"

namespace berth::hw {

class Msix {
 public:
  static constexpr unsigned kMaxVectors = 2048;
  static constexpr unsigned kEntrySize = 16;
  // The bits of the message control register that the guest writes: enable and function mask.
  static constexpr uint16_t kControlWritable = 0xc000;

  // Told, in the calling vCPU's thread, when the guest changes what an assigned device must know: a vector's
  // signals reach the guest from now on (its route is in place already), or no longer. In the order of the
  // changes, one call at a time; it may use vector(), but not change anything here. Emulated devices need
  // none.
  using VectorObserver = std::function<void(unsigned vector, bool unmasked)>;

  // `count` is 1 to kMaxVectors.
  static Result<std::unique_ptr<Msix>> Create(InterruptController* controller, unsigned count,
                                              VectorObserver observer = {});
  ~Msix();

  // The capability's 10 bytes after id and link, for ConfigSpace::AddCapability; both structures' BAR and
  // offset.
  std::array<uint8_t, 10> CapabilityBody(unsigned table_bar, uint32_t table_offset, unsigned pba_bar,
                                         uint32_t pba_offset) const;
  // The guest wrote the message control register (enable is bit 15, function mask bit 14).
  void SetControl(uint16_t control);
  bool enabled() const;

  // Handlers to put where the table and the pending bit array are.
  IoHandler* table_handler();
  IoHandler* pba_handler();
  uint64_t table_size() const { return uint64_t{count()} * kEntrySize; }
  uint64_t pba_size() const { return AlignUp(count(), 64) / 8; }

  unsigned count() const { return static_cast<unsigned>(vectors_.size()); }
  // The vector's eventfd owner; valid as long as this. nullptr if there is no such vector.
  MsiVector* vector(unsigned index) { return index < count() ? vectors_[index].get() : nullptr; }
  // Disabled, everything masked, table zero, nothing pending.
  void Reset();

 private:
  class Table;
  class PendingBits;
  struct Entry {
    MsiMessage message;
    uint32_t control = 1;  // Bit 0: masked, as after reset.
    bool live = false;     // The vector's signals reach the guest.
  };
  struct Change {
    unsigned vector;
    bool unmasked;
  };
  Msix(InterruptController* controller, VectorObserver observer);
  uint32_t ReadDword(uint64_t offset) const REQUIRES(mutex_);
  void WriteDword(uint64_t offset, uint32_t value) REQUIRES(mutex_);
  // Makes vectors live or not as the table and the control register now say.
  std::vector<Change> Apply(unsigned first, unsigned last) REQUIRES(mutex_);
  void Unmask(const std::vector<unsigned>& indices) REQUIRES(mutex_);
  void Tell(const std::vector<Change>& changes) REQUIRES(change_mutex_);

  InterruptController* const controller_;
  const VectorObserver observer_;
  // Held over a change and the observer's calls, so that these keep their order. Taken before mutex_.
  Mutex change_mutex_;
  mutable Mutex mutex_;
  bool enabled_ GUARDED_BY(mutex_) = false;
  bool function_masked_ GUARDED_BY(mutex_) = false;
  std::vector<Entry> entries_ GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<MsiVector>> vectors_;  // Constant once created.
  std::unique_ptr<IoHandler> table_, pba_;
};

}  // namespace berth::hw

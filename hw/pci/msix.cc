#include "hw/pci/msix.h"

#include <algorithm>

#include "base/log.h"
#include "base/unique_fd.h"

namespace berth::hw {
namespace {

constexpr uint16_t kControlEnable = 1 << 15, kControlFunctionMask = 1 << 14;
constexpr uint32_t kEntryMasked = 1 << 0;

}  // namespace

// Software must use aligned dword or qword accesses (6.8.2); any other is served by the dwords it touches.
class Msix::Table final : public IoHandler {
 public:
  explicit Table(Msix* msix) : msix_(*msix) {}

  uint64_t Read(uint64_t offset, unsigned size) override {
    MutexLock lock(msix_.mutex_);
    uint8_t bytes[16] = {};
    const uint64_t first = AlignDown(offset, 4);
    for (uint64_t at = first; at < offset + size; at += 4) {
      StoreLe<uint32_t>(&bytes[at - first], msix_.ReadDword(at));
    }
    return LoadLeSized(&bytes[offset - first], size);
  }

  void Write(uint64_t offset, unsigned size, uint64_t value) override {
    MutexLock change_lock(msix_.change_mutex_);
    std::vector<Change> changes;
    {
      MutexLock lock(msix_.mutex_);
      uint8_t bytes[16] = {};
      const uint64_t first = AlignDown(offset, 4);
      for (uint64_t at = first; at < offset + size; at += 4) {
        StoreLe<uint32_t>(&bytes[at - first], msix_.ReadDword(at));
      }
      StoreLeSized(&bytes[offset - first], size, value);
      for (uint64_t at = first; at < offset + size; at += 4) {
        msix_.WriteDword(at, LoadLe<uint32_t>(&bytes[at - first]));
      }
      changes = msix_.Apply(static_cast<unsigned>(offset / kEntrySize),
                            static_cast<unsigned>((offset + size - 1) / kEntrySize));
    }
    msix_.Tell(changes);
  }

 private:
  Msix& msix_;
};

// Read-only. A bit is set while a signal waits behind a mask.
class Msix::PendingBits final : public IoHandler {
 public:
  explicit PendingBits(Msix* msix) : msix_(*msix) {}

  uint64_t Read(uint64_t offset, unsigned size) override {
    MutexLock lock(msix_.mutex_);
    uint64_t bits = 0;
    for (unsigned bit = 0; bit < size * 8; ++bit) {
      const uint64_t index = offset * 8 + bit;
      if (index < msix_.count() && !msix_.entries_[index].live && msix_.vectors_[index]->pending()) {
        bits |= uint64_t{1} << bit;
      }
    }
    return bits;
  }
  void Write(uint64_t, unsigned, uint64_t) override {}

 private:
  Msix& msix_;
};

Msix::Msix(InterruptController* controller, VectorObserver observer)
    : controller_(controller),
      observer_(std::move(observer)),
      table_(std::make_unique<Table>(this)),
      pba_(std::make_unique<PendingBits>(this)) {}

Msix::~Msix() = default;

Result<std::unique_ptr<Msix>> Msix::Create(InterruptController* controller, unsigned count,
                                           VectorObserver observer) {
  CHECK(count >= 1 && count <= kMaxVectors);
  std::unique_ptr<Msix> msix(new Msix(controller, std::move(observer)));
  for (unsigned i = 0; i < count; ++i) {
    msix->vectors_.push_back(TRY(Context(controller->CreateMsiVector(), fmt::format("MSI-X vector {}", i))));
  }
  MutexLock lock(msix->mutex_);
  msix->entries_.resize(count);
  return msix;
}

std::array<uint8_t, 10> Msix::CapabilityBody(unsigned table_bar, uint32_t table_offset, unsigned pba_bar,
                                             uint32_t pba_offset) const {
  CHECK(table_bar < 6 && pba_bar < 6 && IsAligned(table_offset, 8) && IsAligned(pba_offset, 8));
  std::array<uint8_t, 10> body{};
  StoreLe<uint16_t>(&body[0], static_cast<uint16_t>(count() - 1));
  StoreLe<uint32_t>(&body[2], table_offset | table_bar);
  StoreLe<uint32_t>(&body[6], pba_offset | pba_bar);
  return body;
}

void Msix::SetControl(uint16_t control) {
  MutexLock change_lock(change_mutex_);
  std::vector<Change> changes;
  {
    MutexLock lock(mutex_);
    enabled_ = (control & kControlEnable) != 0;
    function_masked_ = (control & kControlFunctionMask) != 0;
    changes = Apply(0, count() - 1);
  }
  Tell(changes);
}

bool Msix::enabled() const {
  MutexLock lock(mutex_);
  return enabled_;
}

IoHandler* Msix::table_handler() { return table_.get(); }
IoHandler* Msix::pba_handler() { return pba_.get(); }

void Msix::Reset() {
  MutexLock change_lock(change_mutex_);
  std::vector<Change> changes;
  {
    MutexLock lock(mutex_);
    enabled_ = function_masked_ = false;
    changes = Apply(0, count() - 1);
    std::fill(entries_.begin(), entries_.end(), Entry{});
    for (const auto& vector : vectors_) DrainEventFd(vector->eventfd());
  }
  Tell(changes);
}

uint32_t Msix::ReadDword(uint64_t offset) const {
  const uint64_t index = offset / kEntrySize;
  if (index >= entries_.size()) return 0;
  const Entry& entry = entries_[index];
  switch (offset % kEntrySize) {
    case 0:
      return static_cast<uint32_t>(entry.message.address);
    case 4:
      return static_cast<uint32_t>(entry.message.address >> 32);
    case 8:
      return entry.message.data;
    default:
      return entry.control;
  }
}

void Msix::WriteDword(uint64_t offset, uint32_t value) {
  const uint64_t index = offset / kEntrySize;
  if (index >= entries_.size()) return;
  Entry& entry = entries_[index];
  const MsiMessage before = entry.message;
  uint64_t& address = entry.message.address;
  switch (offset % kEntrySize) {
    case 0:
      address = (address & ~AllOnes(4)) | (value & ~3u);
      break;  // Messages are dword-aligned.
    case 4:
      address = (address & AllOnes(4)) | uint64_t{value} << 32;
      break;
    case 8:
      entry.message.data = value;
      break;
    default:
      entry.control = value & kEntryMasked;
      break;
  }
  // A message changed under an unmasked vector is undefined (6.8.3.5); ours takes effect at once.
  if (entry.live && entry.message != before) {
    if (const Status changed = vectors_[index]->Unmask(entry.message); !changed) {
      LOG_WARNING_LIMITED("MSI-X vector {}: {}", index, changed.error().message());
    }
  }
}

std::vector<Msix::Change> Msix::Apply(unsigned first, unsigned last) {
  std::vector<Change> changes;
  std::vector<unsigned> unmasked;
  for (unsigned i = first; i <= last && i < entries_.size(); ++i) {
    const bool wanted = enabled_ && !function_masked_ && (entries_[i].control & kEntryMasked) == 0;
    if (wanted == entries_[i].live) continue;
    if (wanted) {
      unmasked.push_back(i);
    } else {
      vectors_[i]->Mask();
      entries_[i].live = false;
      changes.push_back({i, false});
    }
  }
  Unmask(unmasked);
  for (unsigned i : unmasked) {
    if (entries_[i].live) changes.push_back({i, true});
  }
  return changes;
}

void Msix::Unmask(const std::vector<unsigned>& indices) {
  std::vector<MsiVector*> vectors;
  std::vector<MsiMessage> messages;
  for (unsigned i : indices) {
    vectors.push_back(vectors_[i].get());
    messages.push_back(entries_[i].message);
  }
  const bool all = indices.size() > 1 && controller_->UnmaskAll(vectors, messages).has_value();
  for (unsigned i : indices) {
    if (all) {
      entries_[i].live = true;
      continue;
    }
    // One by one, so that a vector the host has no route for takes none of the others with it. It stays
    // masked, its signals pending, until the guest's next try.
    const Status done = vectors_[i]->Unmask(entries_[i].message);
    entries_[i].live = done.has_value();
    if (!done) LOG_WARNING_LIMITED("MSI-X vector {}: {}", i, done.error().message());
  }
}

void Msix::Tell(const std::vector<Change>& changes) {
  if (!observer_) return;
  for (const Change& change : changes) observer_(change.vector, change.unmasked);
}

}  // namespace berth::hw

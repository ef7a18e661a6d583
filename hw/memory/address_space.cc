#include "hw/memory/address_space.h"

#include <algorithm>

#include "base/log.h"

namespace berth::hw {
namespace {

// What is in `from` and not in `to`.
std::vector<const FlatRange*> Missing(const FlatView& from, const FlatView& to) {
  std::vector<const FlatRange*> missing;
  for (const FlatRange& range : from.ranges) {
    const FlatRange* same_place = to.Find(range.start);
    if (same_place == nullptr || !same_place->SameAs(range)) missing.push_back(&range);
  }
  return missing;
}

Status Tell(MemoryListener* listener, const FlatRange& range) {
  Status added = listener->Added(range);
  if (added || range.kind == Region::Kind::kRam) return added;
  // A guest can place its BARs where nothing can map them as often as it likes.
  LOG_WARNING_LIMITED("cannot map device memory at {:#x} ({} bytes): {}", range.start, range.size,
                      added.error().message());
  return Ok();
}

void Tell(IoEventListener* listener, const FlatIoEvent& event) {
  // The handler answers a doorbell that could not be registered, only slower.
  if (const Status added = listener->Added(event); !added) {
    LOG_WARNING_LIMITED("no fast path for the doorbell at {:#x}: {}", event.address, added.error().message());
  }
}

}  // namespace

AddressSpace::Transaction::Transaction(AddressSpace& space) : space_(space) {
  space_.tree_mutex_.lock();
  ++space_.depth_;
}

AddressSpace::Transaction::~Transaction() {
  if (committed_) return;
  const Status committed = Commit();
  if (!committed) LOG_ERROR("guest memory: {}", committed.error().message());
  CHECK(committed);
}

Status AddressSpace::Transaction::Commit() {
  CHECK(!committed_);
  committed_ = true;
  Status published = Ok();
  if (--space_.depth_ == 0) published = space_.Publish();
  space_.tree_mutex_.unlock();
  return published;
}

Status AddressSpace::Publish() {
  auto next = std::make_shared<const FlatView>(Flatten(root_));
  const std::shared_ptr<const FlatView> last = view();
  {
    MutexLock lock(view_mutex_);
    view_ = next;
  }
  generation_.fetch_add(1, std::memory_order_release);

  const auto removed = Missing(*last, *next), added = Missing(*next, *last);
  for (IoEventListener* listener : io_event_listeners_) {
    for (const FlatIoEvent& event : last->io_events) {
      if (std::find(next->io_events.begin(), next->io_events.end(), event) == next->io_events.end()) {
        listener->Removed(event);
      }
    }
  }
  Status result = Ok();
  for (MemoryListener* listener : listeners_) {
    for (const FlatRange* range : removed) listener->Removed(*range);
    for (const FlatRange* range : added) {
      if (Status told = Tell(listener, *range); !told && result) result = std::move(told);
    }
    if (!removed.empty() || !added.empty()) listener->Committed();
  }
  for (IoEventListener* listener : io_event_listeners_) {
    for (const FlatIoEvent& event : next->io_events) {
      if (std::find(last->io_events.begin(), last->io_events.end(), event) == last->io_events.end()) {
        Tell(listener, event);
      }
    }
  }
  return result;
}

Status AddressSpace::AddListener(MemoryListener* listener) {
  const std::lock_guard lock(tree_mutex_);
  const std::shared_ptr<const FlatView> now = view();
  for (const FlatRange& range : now->ranges) TRY(Tell(listener, range));
  listener->Committed();
  listeners_.push_back(listener);
  return Ok();
}

void AddressSpace::RemoveListener(MemoryListener* listener) {
  const std::lock_guard lock(tree_mutex_);
  std::erase(listeners_, listener);
}

Status AddressSpace::AddListener(IoEventListener* listener) {
  const std::lock_guard lock(tree_mutex_);
  for (const FlatIoEvent& event : view()->io_events) Tell(listener, event);
  io_event_listeners_.push_back(listener);
  return Ok();
}

void AddressSpace::RemoveListener(IoEventListener* listener) {
  const std::lock_guard lock(tree_mutex_);
  std::erase(io_event_listeners_, listener);
}

std::shared_ptr<const FlatView> AddressSpace::view() const {
  MutexLock lock(view_mutex_);
  return view_;
}

// An access that begins after its reader was waited for sees the view of the last commit, or a later one:
// the reader's lock orders the two.
void AddressSpace::WaitForReaders() {
  MutexLock lock(readers_mutex_);
  for (ViewReader* reader : readers_) MutexLock wait(reader->in_access_);
}

ViewReader::ViewReader(AddressSpace& space) : space_(space) {
  MutexLock lock(space_.readers_mutex_);
  space_.readers_.push_back(this);
}

ViewReader::~ViewReader() {
  MutexLock lock(space_.readers_mutex_);
  std::erase(space_.readers_, this);
}

const FlatView& ViewReader::view() {
  const uint64_t generation = space_.generation();
  if (generation != generation_) {
    view_ = space_.view();
    generation_ = generation;
  }
  return *view_;
}

namespace {

// How many of `size` bytes at `address` one access to `range` can take: handlers see powers of two.
unsigned Piece(const FlatRange* range, uint64_t address, unsigned size) {
  const uint64_t there = range == nullptr ? 1 : range->range().end() - address;
  unsigned piece = 8;
  while (piece > size || piece > there) piece /= 2;
  return piece;
}

uint64_t ReadPiece(const FlatRange& range, uint64_t address, unsigned size) {
  const uint64_t offset = address - range.start;
  if (range.handler != nullptr) return range.handler->Read(range.offset_in_region + offset, size);
  const volatile uint8_t* from = range.mapping.address + offset;
  // A device's memory wants the guest's own access width.
  if (IsAligned(reinterpret_cast<uintptr_t>(from), size)) {
    switch (size) {
      case 8:
        return *reinterpret_cast<const volatile uint64_t*>(from);
      case 4:
        return *reinterpret_cast<const volatile uint32_t*>(from);
      case 2:
        return *reinterpret_cast<const volatile uint16_t*>(from);
      default:
        return *from;
    }
  }
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= uint64_t{from[i]} << (8 * i);
  return value;
}

void WritePiece(const FlatRange& range, uint64_t address, unsigned size, uint64_t value) {
  const uint64_t offset = address - range.start;
  if (range.handler != nullptr) {
    return range.handler->Write(range.offset_in_region + offset, size, value);
  }
  if (!range.writable) return;
  volatile uint8_t* to = range.mapping.address + offset;
  if (IsAligned(reinterpret_cast<uintptr_t>(to), size)) {
    switch (size) {
      case 8:
        *reinterpret_cast<volatile uint64_t*>(to) = value;
        return;
      case 4:
        *reinterpret_cast<volatile uint32_t*>(to) = static_cast<uint32_t>(value);
        return;
      case 2:
        *reinterpret_cast<volatile uint16_t*>(to) = static_cast<uint16_t>(value);
        return;
      default:
        *to = static_cast<uint8_t>(value);
        return;
    }
  }
  for (unsigned i = 0; i < size; ++i) to[i] = static_cast<uint8_t>(value >> (8 * i));
}

}  // namespace

uint64_t ViewReader::Read(uint64_t address, unsigned size) {
  MutexLock lock(in_access_);
  const FlatView& now = view();
  uint64_t value = 0;
  for (unsigned done = 0; done < size;) {
    const FlatRange* range = now.Find(address + done);
    const unsigned piece = Piece(range, address + done, size - done);
    uint64_t part = AllOnes(piece);
    if (range != nullptr) {
      part &= ReadPiece(*range, address + done, piece);
    } else {
      space_.CountUnclaimed();
    }
    value |= part << (8 * done);
    done += piece;
  }
  return value;
}

void ViewReader::Write(uint64_t address, unsigned size, uint64_t value) {
  MutexLock lock(in_access_);
  const FlatView& now = view();
  for (unsigned done = 0; done < size;) {
    const FlatRange* range = now.Find(address + done);
    const unsigned piece = Piece(range, address + done, size - done);
    if (range != nullptr) {
      WritePiece(*range, address + done, piece, (value >> (8 * done)) & AllOnes(piece));
    } else {
      space_.CountUnclaimed();
    }
    done += piece;
  }
}

}  // namespace berth::hw

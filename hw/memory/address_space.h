// An address space of the guest (memory, or I/O ports): a region tree, its current flat view, and those who
// are told of every difference.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "hw/memory/flat_view.h"
#include "hw/memory/region.h"

namespace berth::hw {

// Told what appears and disappears: KVM's slots, VFIO's DMA maps, vhost's table. Called inside a commit,
// removals first; a range that changes is removed, then added.
class MemoryListener {
 public:
  virtual ~MemoryListener() = default;
  virtual Status Added(const FlatRange& range) = 0;
  virtual void Removed(const FlatRange& range) = 0;
  // All differences of one transaction have been told.
  virtual void Committed() {}
};

// Told of doorbells: KVM's ioeventfds.
class IoEventListener {
 public:
  virtual ~IoEventListener() = default;
  virtual Status Added(const FlatIoEvent& event) = 0;
  virtual void Removed(const FlatIoEvent& event) = 0;
};

class ViewReader;

class AddressSpace {
 public:
  AddressSpace(std::string name, uint64_t size) : root_(Region::Container(std::move(name), size)) {}

  Region& root() { return root_; }

  // Changes to the tree happen between construction and Commit; transactions of several threads take turns,
  // and one thread may nest them: the outermost commits. Failing to map RAM is an error, to map device memory
  // a warning.
  class Transaction {
   public:
    explicit Transaction(AddressSpace& space);
    ~Transaction();  // Commits if nobody did; then a failure to map RAM ends the process.
    Status Commit();

   private:
    AddressSpace& space_;
    bool committed_ = false;
  };

  // A listener is told of everything there is, at once, and of all that changes until it is removed.
  Status AddListener(MemoryListener* listener);
  void RemoveListener(MemoryListener* listener);
  Status AddListener(IoEventListener* listener);
  void RemoveListener(IoEventListener* listener);

  std::shared_ptr<const FlatView> view() const;
  // Changes with every new view; see ViewReader.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  // Waits until every access that a ViewReader began before the last commit has ended: then nobody is in a
  // handler that has left the tree, and its owner may go. Not from within an access, nor while holding
  // anything that a handler waits for.
  void WaitForReaders();

  // Accesses that nothing claimed: reads answered with all ones, writes dropped.
  uint64_t unclaimed() const { return unclaimed_.load(std::memory_order_relaxed); }
  void CountUnclaimed() { unclaimed_.fetch_add(1, std::memory_order_relaxed); }

 private:
  friend class Transaction;
  friend class ViewReader;
  Status Publish() NO_THREAD_SAFETY_ANALYSIS;

  Region root_;
  std::recursive_mutex tree_mutex_;  // Held by a transaction and while listeners change.
  int depth_ = 0;                    // Guarded by tree_mutex_, as are the listeners.
  std::vector<MemoryListener*> listeners_;
  std::vector<IoEventListener*> io_event_listeners_;
  mutable Mutex view_mutex_;
  std::shared_ptr<const FlatView> view_ GUARDED_BY(view_mutex_) = std::make_shared<FlatView>();
  std::atomic<uint64_t> generation_{1};
  Mutex readers_mutex_;
  std::vector<ViewReader*> readers_ GUARDED_BY(readers_mutex_);
  std::atomic<uint64_t> unclaimed_{0};
};

// One thread's way to look up and access what is at an address, without a lock that others contend for. Each
// vCPU thread has one for memory and one for ports.
class ViewReader {
 public:
  explicit ViewReader(AddressSpace& space);
  ~ViewReader();
  ViewReader(const ViewReader&) = delete;

  // `size` is 1 to 8. Splits what crosses a range; unclaimed bytes read as ones and are counted. Device
  // memory that trapped (a BAR not mapped into KVM) goes to its handler, and without one, as RAM does,
  // through the mapping.
  uint64_t Read(uint64_t address, unsigned size);
  void Write(uint64_t address, unsigned size, uint64_t value);

 private:
  friend class AddressSpace;
  // The current view; valid until the next call.
  const FlatView& view() REQUIRES(in_access_);

  AddressSpace& space_;
  // Held over each access, handlers included. Only AddressSpace::WaitForReaders ever waits for it.
  Mutex in_access_;
  uint64_t generation_ GUARDED_BY(in_access_) = 0;
  std::shared_ptr<const FlatView> view_ GUARDED_BY(in_access_);
};

}  // namespace berth::hw

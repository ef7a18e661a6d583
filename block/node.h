// BlockNode: something with blocks that are read and written asynchronously and in batches.
//
// A node is a file, a window of another node, or an image format over the node that holds the image; nodes
// stack. Requests are the caller's memory and travel down the stack as they are: the common path, a mapped
// and aligned request, allocates nothing.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "base/error.h"
#include "block/list.h"

namespace berth::block {

enum class Op : uint8_t {
  kRead,
  kWrite,
  kFlush,        // Everything that was completed before is on stable storage afterwards. No range.
  kDiscard,      // The content of the range does not matter any more. A hint: doing nothing is success.
  kWriteZeroes,  // The range reads as zeroes afterwards.
};

// One operation. The caller keeps it, its pieces and their memory alive and alone until `done` is called;
// meanwhile its fields are the nodes' to change (a window moves `offset`). Derive from it to add the caller's
// own state.
struct Request {
  Op op = Op::kRead;
  bool fua = false;        // kWrite, kWriteZeroes: complete only once it is on stable storage.
  bool may_unmap = false;  // kWriteZeroes: may free the blocks behind the range.
  int error = 0;           // After completion: 0, or an errno value.
  uint64_t offset = 0;     // In bytes, as is length. Any alignment; see Limits for what is quick.
  uint64_t length = 0;
  std::span<const iovec> pieces{};  // kRead, kWrite: `length` bytes in all.

  // Called once, on the loop's thread; possibly before Submit returns. It may submit further requests but
  // neither drain nor destroy a node.
  void (*done)(Request* request) = nullptr;
  Request* next = nullptr;  // For lists; whoever holds the request.
};

inline void Complete(Request* request, int error) {
  request->error = error;
  request->done(request);
}

struct Limits {
  // Requests whose offset and length are multiples of this, and whose pieces have lengths that are multiples
  // of it and addresses that are multiples of memory_alignment_bytes, are passed on as they are. Others are
  // right too, but cost copies (and writes, a read and their turn).
  uint32_t block_size_bytes = 1;
  uint32_t memory_alignment_bytes = 1;
  // Of the medium: its physical block, its preferred size of transfers (0: none), the unit it discards.
  uint32_t physical_block_size_bytes = 512;
  uint32_t optimal_io_size_bytes = 0;
  uint32_t discard_granularity_bytes = 512;
  bool read_only = false;
};

// Threads: everything on the thread of the event loop the node was made for, or while no thread runs it.
class BlockNode {
 public:
  // Drains.
  virtual ~BlockNode() = default;

  virtual uint64_t size_bytes() const = 0;
  virtual const Limits& limits() const = 0;

  // Starts every request of the batch; order among requests in flight is nobody's promise. Requests outside
  // the node fail with EINVAL (EROFS for a write to a read-only node).
  virtual void Submit(List<Request> batch) = 0;
  // Waits until nothing is in flight: every `done` has been called when it returns. Not from within a `done`.
  virtual void Drain() = 0;
  // Drains, and writes what the node has in memory only, as its destruction does. It may be used further.
  virtual Status WriteBack() { return Drain(), Ok(); }
  // Drains, and makes the node at least so large; what is new reads as zeroes. Blocks.
  virtual Status Grow(uint64_t size_bytes);
};

// What is wrong with `request` on a node of this size: 0, or an errno value.
int CheckRequest(const Request& request, uint64_t size_bytes, bool read_only);

}  // namespace berth::block

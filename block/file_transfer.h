// One request of a file node on its way through as many system calls as it takes.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "block/engine.h"
#include "block/file_info.h"
#include "block/node.h"

namespace berth::block {

// A file and what it has turned out to be capable of; several threads may find out at once.
struct File {
  int fd = -1;
  FileInfo info;
  std::atomic<bool> can_punch_hole = true;
  std::atomic<bool> can_zero_range = true;
  std::atomic<bool> can_discard = true;
};

// What a request needs of the file node before it may start.
struct TransferNeeds {
  bool changes = false;  // The file's content.
  bool bounce = false;   // A buffer of our own between the guest's memory and the kernel.
  bool alone = false;    // Reads blocks, changes a part of them and writes them back: nobody else may write.
};
TransferNeeds NeedsOf(const File& file, const Request& request);

// The largest step through a bounce buffer.
inline constexpr uint64_t kBounceBytes = 256 * 1024;

class Transfer : public IoOp {
 public:
  // The first system call; false if none is needed, and the request is done. `owner` is for the caller.
  bool Begin(File* file, Request* request, const TransferNeeds& needs);
  // The next one, after `result` of the last; false when the request is done.
  bool Advance();

  Request* request() const { return request_; }
  const TransferNeeds& needs() const { return needs_; }
  int error() const { return error_; }
  void* owner = nullptr;

 private:
  enum class Step : uint8_t {
    kData,
    kZeroData,
    kChunkRead,
    kChunkFill,
    kChunkWrite,
    kDiscard,
    kPunch,
    kZeroRange,
    kSync
  };

  uint64_t position() const { return request_->offset + done_bytes_; }
  uint64_t left() const { return request_->length - done_bytes_; }
  bool Fail(int error);
  bool Call(Step step, Kind call, int call_flags, uint64_t at);
  bool CallVector(Step step, bool write, uint64_t at, std::span<const iovec> vector);

  bool Data();
  bool AfterData();
  bool ZeroData();
  bool Chunk();
  bool WriteChunk();
  bool AfterChunkRead();
  bool AfterChunkWrite();
  bool Discard();
  bool Zeroes(Step first);
  bool AfterFallocate();

  File* file_ = nullptr;
  Request* request_ = nullptr;
  TransferNeeds needs_;
  Step step_ = Step::kData;
  int error_ = 0;
  int retries_ = 0;
  uint64_t done_bytes_ = 0;
  Range chunk_;  // What the bounce buffer holds, in the file.
  std::vector<iovec> vector_;
  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  std::unique_ptr<uint8_t, Free> bounce_;
};

}  // namespace berth::block

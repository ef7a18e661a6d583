// Client: requests over one connection, many at once, from any thread.
#pragma once

#include <sys/uio.h>

#include <array>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/mutex.h"
#include "block/nbd/client_handshake.h"
#include "block/nbd/protocol.h"

namespace berth::block::nbd {

struct StatusExtent {
  uint32_t length = 0;
  uint32_t flags = 0;
};

struct Call {
  Command type = kCmdRead;
  uint16_t flags = 0;
  uint64_t offset = 0;
  uint32_t length = 0;
  std::span<const iovec> pieces{};               // Of a read or a write.
  std::vector<StatusExtent>* extents = nullptr;  // Of kCmdBlockStatus.
};

// A thread sends its own request and then waits; one of those that wait reads the replies for all, so no
// thread of the client's own is needed. Whatever a server sends ends in an errno value: after a breach of the
// protocol the connection is closed, and everything is EIO.
class Client {
 public:
  explicit Client(Session session);
  ~Client();

  const ExportInfo& info() const { return session_.info; }
  bool has_context() const { return session_.context_id.has_value(); }
  // 0, or an errno value.
  int Perform(const Call& call);

 private:
  // More requests than these wait for their turn.
  static constexpr size_t kSlots = 64;
  struct Slot {
    const Call* command = nullptr;  // Null: free.
    uint64_t cookie = 0;
    uint64_t received = 0;  // Bytes of a read that have come.
    int error = 0;
    bool done = false;
  };

  Slot* Acquire(const Call& call);
  void Await(Slot* slot);
  Status Send(const Call& call, uint64_t cookie);
  Status ReceiveOne();
  Status ReceiveSimple(std::span<const uint8_t> start);
  Status ReceiveChunk(std::span<const uint8_t> start);
  Status ReceiveData(Slot* slot, uint64_t offset, uint64_t length, bool hole);
  Status ReceiveStatus(Slot* slot, uint32_t length);
  Status ReceiveError(Slot* slot, uint32_t length);
  Slot* Find(uint64_t cookie);
  void Finish(Slot* slot);
  void Break();

  Session session_;
  Mutex sending_;
  Mutex mutex_;
  std::condition_variable changed_;
  bool receiving_ GUARDED_BY(mutex_) = false;  // Some thread reads replies.
  bool broken_ GUARDED_BY(mutex_) = false;
  uint64_t next_cookie_ GUARDED_BY(mutex_) = 0;
  std::array<Slot, kSlots>
      slots_;  // A slot's fields: its owner's, and the receiving thread's until it is done.
};

}  // namespace berth::block::nbd

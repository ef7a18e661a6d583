// A connection of the server after its handshake: requests in, replies out, on one event loop.
//
// What is received at once is parsed at once, goes to the disk as one batch, and what of it is done by the
// end of the callback goes out in one system call. Nothing is allocated per request: jobs and their memory
// are kept. How much a client can have us hold is bounded; beyond that it is not read from.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/event_loop.h"
#include "block/nbd/export.h"
#include "block/nbd/job.h"
#include "block/nbd/server_handshake.h"
#include "block/node.h"

namespace berth::block::nbd {

// Of one connection: requests that are being worked on or whose replies are not sent; the bytes they hold,
// before no more are read; the memory kept for later ones.
inline constexpr size_t kMaxJobs = 128;
inline constexpr uint64_t kMaxBytesInFlight = 2 * uint64_t{kMaxPayloadBytes};
inline constexpr uint64_t kMaxKeptBytes = 16 << 20;

class Connection {
 public:
  // `work` is carried out on some thread that may block; then `done` on the loop.
  using Blocking = std::function<void(std::function<void()> work, std::function<void()> done)>;

  // All are borrowed. `ended` is called once, as the last thing, when the client has gone or has broken the
  // protocol and nothing is in flight any more; by then it may be posted to the loop to destroy the
  // connection.
  Connection(EventLoop* loop, BlockNode* node, const Export* what, Blocking blocking, ServerSession session,
             std::function<void()> ended);
  // Only after `ended`, or when the node has been drained.
  ~Connection();

  Status Start();
  // The server goes: what is in flight is finished, then `ended`.
  void Stop();

 private:
  void OnReady(uint32_t events);
  void Receive();
  // False: what the client sent is no request.
  bool ParseBuffered();
  bool Begin(const uint8_t* header);
  void TakePayload();
  void Dispatch(Job* job);
  void Queue(Job* job, Op op);
  void SubmitBatch();
  void AskStatus(Job* job);
  int Check(const Job& job) const;
  static void OnDone(Request* request);
  void Reply(Job* job, int error);
  void MakeHead(Job* job, int error);
  void Flush();
  void Send();
  void FinishSent(size_t bytes);
  void Release(Job* job);
  // False if there is no memory.
  bool TakeBuffer(Job* job);
  Job* NewJob();
  bool Full() const { return jobs_in_flight_ == kMaxJobs || bytes_in_flight_ >= kMaxBytesInFlight; }
  void UpdateWatch();
  void Hangup();
  void EndIfIdle();

  EventLoop* const loop_;
  BlockNode* const node_;
  const Export& export_;
  const Blocking blocking_;
  ServerSession session_;
  const std::function<void()> ended_;
  EventLoop::Deferred flush_;
  EventLoop::Deferred end_;

  std::array<uint8_t, 64 << 10> in_;  // Received and not yet parsed: [in_begin_, in_end_).
  size_t in_begin_ = 0, in_end_ = 0;
  Job* filling_ = nullptr;  // A write whose payload is still to come from `filled_` on.
  uint32_t filled_ = 0;
  List<Request> batch_;

  std::vector<std::unique_ptr<Job>> jobs_;
  std::vector<Job*> idle_;
  std::vector<DataBuffer> spare_;  // kept_bytes_ of them.
  size_t jobs_in_flight_ = 0;
  uint64_t bytes_in_flight_ = 0, kept_bytes_ = 0;
  uint64_t unsent_bytes_ = 0;  // Of replies.
  std::vector<Job*> out_;  // Replies to send, from `out_begin_` on; of that one `out_sent_` bytes have gone.
  size_t out_begin_ = 0, out_sent_ = 0;
  std::vector<iovec> pieces_;

  uint32_t watched_ = 0;
  bool blocked_ = false;   // The client does not take what is sent.
  bool stopping_ = false;  // No more requests are read.
  bool gone_ = false;      // Nothing is sent any more.
  bool over_ = false;      // `ended` is called, or about to be.
};

}  // namespace berth::block::nbd

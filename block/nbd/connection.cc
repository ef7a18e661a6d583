#include "block/nbd/connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"

namespace berth::block::nbd {
namespace {

// Receptions before the loop's other work gets its turn.
constexpr int kMaxRounds = 16;
constexpr size_t kMaxSendPieces = 256;
// Handed to the node at once: a device that serves them one by one and tells of all together would have
// nothing to do while the client takes them.
constexpr int kSubmitRequests = 8;
// Of what is handed over at once, or was read and is sent before more is read: small enough to be in the
// CPU's cache still. And of what may be left of that, if the client does not take it.
constexpr uint64_t kSubmitBytes = 256 << 10, kMaxUnsentBytes = 512 << 10;
// Of a job; a larger one is freed with its request.
constexpr size_t kMaxKeptBufferBytes = 1 << 20;

bool HasPayload(uint16_t command) { return command == kCmdWrite; }

}  // namespace

Connection::Connection(EventLoop* loop, BlockNode* node, const Export* what, Blocking blocking,
                       ServerSession session, std::function<void()> ended)
    : loop_(loop),
      node_(node),
      export_(*what),
      blocking_(std::move(blocking)),
      session_(std::move(session)),
      ended_(std::move(ended)),
      flush_(loop, [this] { Flush(); }),
      end_(loop, [this] { ended_(); }) {
  out_.reserve(kMaxJobs);
  spare_.reserve(kMaxJobs);
  pieces_.reserve(kMaxSendPieces);
}

Connection::~Connection() { loop_->Unwatch(session_.channel->fd()); }

Status Connection::Start() {
  watched_ = EPOLLIN;
  TRY(loop_->Watch(session_.channel->fd(), watched_, [this](uint32_t events) { OnReady(events); }));
  // TLS may have read on already.
  loop_->Post([this] { Receive(); });
  return Ok();
}

void Connection::Stop() {
  stopping_ = true;
  UpdateWatch();
  EndIfIdle();
}

void Connection::OnReady(uint32_t events) {
  if ((events & EPOLLOUT) != 0 && blocked_) {
    blocked_ = false;
    flush_.Schedule();
  }
  const bool hung_up = (events & (EPOLLHUP | EPOLLERR)) != 0;
  if (hung_up && (stopping_ || Full())) return Hangup();
  if (hung_up || (events & EPOLLIN) != 0) Receive();
}

void Connection::Hangup() {
  if (std::exchange(gone_, true)) return;
  stopping_ = true;
  loop_->Unwatch(session_.channel->fd());
  if (filling_ != nullptr) Release(std::exchange(filling_, nullptr));
  while (Request* request = batch_.PopFront()) Release(static_cast<Job*>(request));
  for (size_t i = out_begin_; i < out_.size(); ++i) Release(out_[i]);
  out_.clear();
  out_begin_ = 0;
  EndIfIdle();
}

void Connection::EndIfIdle() {
  if (!stopping_ || jobs_in_flight_ != 0 || std::exchange(over_, true)) return;
  session_.channel->Close();
  end_.Schedule();
}

void Connection::UpdateWatch() {
  loop_->SetWaitKind(jobs_in_flight_ == 0 ? EventLoop::kForOthers : EventLoop::kForOwnWork);
  if (gone_) return;
  const uint32_t wanted = (stopping_ || Full() ? 0u : EPOLLIN) | (blocked_ ? EPOLLOUT : 0u);
  if (wanted == watched_) return;
  watched_ = wanted;
  (void)loop_->Rewatch(session_.channel->fd(), wanted);
}

void Connection::Receive() {
  bool more = true;
  for (int round = 0; more && !stopping_; ++round) {
    if (!ParseBuffered()) return Hangup();
    if (stopping_ || Full()) break;
    if (round == kMaxRounds) {
      loop_->Post([this] { Receive(); });
      break;
    }
    if (in_begin_ == in_end_) in_begin_ = in_end_ = 0;
    if (in_begin_ != 0) {
      std::memmove(in_.data(), in_.data() + in_begin_, in_end_ - in_begin_);
      in_end_ -= std::exchange(in_begin_, 0);
    }
    iovec pieces[2];
    size_t count = 0, room = 0;
    if (filling_ != nullptr) pieces[count++] = {filling_->buffer.data() + filled_, filling_->size - filled_};
    pieces[count++] = {in_.data() + in_end_, in_.size() - in_end_};
    for (size_t i = 0; i < count; ++i) room += pieces[i].iov_len;
    const ssize_t got = session_.channel->Read({pieces, count});
    if (got == -EAGAIN || got == -EINTR) break;
    if (got <= 0) return Hangup();
    size_t rest = static_cast<size_t>(got);
    if (filling_ != nullptr) {
      const auto payload = static_cast<uint32_t>(std::min(rest, pieces[0].iov_len));
      filled_ += payload;
      rest -= payload;
    }
    in_end_ += rest;
    more = static_cast<size_t>(got) == room || session_.channel->buffers();
    if (!more && !ParseBuffered()) return Hangup();
  }
  SubmitBatch();
  UpdateWatch();
}

void Connection::SubmitBatch() {
  while (!batch_.empty() && unsent_bytes_ < kMaxUnsentBytes) {
    List<Request> part;
    uint64_t bytes = 0;
    for (int i = 0; i < kSubmitRequests && bytes < kSubmitBytes && !batch_.empty(); ++i) {
      auto* const job = static_cast<Job*>(batch_.PopFront());
      bytes += job->length;
      if (job->op == Op::kRead && !TakeBuffer(job)) {
        Reply(job, ENOMEM);
      } else {
        part.PushBack(job);
      }
    }
    if (!part.empty()) node_->Submit(std::move(part));
    if (unsent_bytes_ >= kSubmitBytes) Send();
  }
}

bool Connection::ParseBuffered() {
  while (!stopping_) {
    if (filling_ != nullptr) {
      TakePayload();
      if (filling_ != nullptr) return true;
    }
    if (in_end_ - in_begin_ < kRequestBytes || Full()) return true;
    const uint8_t* header = in_.data() + in_begin_;
    in_begin_ += kRequestBytes;
    if (!Begin(header)) return false;
  }
  return true;
}

bool Connection::Begin(const uint8_t* header) {
  if (LoadBe<uint32_t>(header) != kRequestMagic) return false;
  Job* const job = NewJob();
  job->flags = LoadBe<uint16_t>(header + 4);
  job->command = LoadBe<uint16_t>(header + 6);
  job->cookie = LoadBe<uint64_t>(header + 8);
  job->offset = LoadBe<uint64_t>(header + 16);
  job->size = LoadBe<uint32_t>(header + 24);
  const bool has_data = HasPayload(job->command) || job->command == kCmdRead;
  if (job->command == kCmdDisconnect) {
    Release(job);
    stopping_ = true;
    EndIfIdle();
    return true;
  }
  // Whoever sends more than was agreed on is not heard to the end.
  if (HasPayload(job->command) && job->size > kMaxPayloadBytes) {
    Release(job);
    return false;
  }
  if (has_data && job->size <= kMaxPayloadBytes) {
    job->held_bytes = job->size;
    bytes_in_flight_ += job->size;
  }
  if (HasPayload(job->command)) {
    if (!TakeBuffer(job)) {
      Release(job);
      return false;
    }
    filling_ = job;
    filled_ = 0;
  } else {
    Dispatch(job);
  }
  return true;
}

void Connection::TakePayload() {
  const size_t size = std::min<size_t>(in_end_ - in_begin_, filling_->size - filled_);
  if (size != 0) std::memcpy(filling_->buffer.data() + filled_, in_.data() + in_begin_, size);
  in_begin_ += size;
  filled_ += static_cast<uint32_t>(size);
  if (filled_ == filling_->size) Dispatch(std::exchange(filling_, nullptr));
}

int Connection::Check(const Job& job) const {
  static constexpr uint16_t kKnownFlags[] = {
      kCmdFua | kCmdDontFragment, kCmdFua, 0, kCmdFua, kCmdFua, kCmdFua, kCmdFua | kCmdNoHole,
      kCmdFua | kCmdOneExtent};
  if (job.command >= std::size(kKnownFlags)) return EINVAL;
  if ((job.flags & ~kKnownFlags[job.command]) != 0) return EINVAL;
  const bool changes = job.command == kCmdWrite || job.command == kCmdTrim || job.command == kCmdWriteZeroes;
  if (changes && export_.read_only) return EPERM;
  if (job.command == kCmdFlush) return 0;
  if (job.command == kCmdRead && job.size > kMaxPayloadBytes) return EINVAL;
  if (job.command == kCmdBlockStatus && (session_.contexts.empty() || job.size == 0)) return EINVAL;
  if (!Range{0, node_->size_bytes()}.Contains(job.offset, job.size)) return changes ? ENOSPC : EINVAL;
  return 0;
}

void Connection::Dispatch(Job* job) {
  if (const int error = Check(*job); error != 0) return Reply(job, error);
  job->fua = (job->flags & kCmdFua) != 0;
  switch (job->command) {
    case kCmdRead:
      return Queue(job, Op::kRead);
    case kCmdWrite:
      return Queue(job, Op::kWrite);
    case kCmdFlush:
      return Queue(job, Op::kFlush);
    case kCmdTrim:
      return Queue(job, Op::kDiscard);
    case kCmdWriteZeroes:
      job->may_unmap = (job->flags & kCmdNoHole) == 0;
      return Queue(job, Op::kWriteZeroes);
    case kCmdBlockStatus:
      return AskStatus(job);
    default:
      return Reply(job, 0);  // kCmdCache: what is read often is in the page cache anyway.
  }
}

void Connection::Queue(Job* job, Op op) {
  job->op = op;
  job->length = op == Op::kFlush ? 0 : job->size;
  const bool has_data = op == Op::kRead || op == Op::kWrite;
  job->pieces = has_data ? std::span<const iovec>(&job->piece, 1) : std::span<const iovec>();
  if (has_data && job->size == 0) return Reply(job, 0);
  batch_.PushBack(job);
}

void Connection::OnDone(Request* request) {
  auto* job = static_cast<Job*>(request);
  job->connection->Reply(job, job->error);
}

void Connection::AskStatus(Job* job) {
  blocking_(
      [this, job] {
        job->error = 0;
        for (size_t i = 0; i < session_.contexts.size() && job->error == 0; ++i) {
          const auto payload = BlockStatus(export_, session_.contexts[i], job->offset, job->size,
                                           (job->flags & kCmdOneExtent) != 0);
          if (!payload) {
            job->error = EIO;
            break;
          }
          uint8_t head[kStructuredReplyBytes];
          StoreBe<uint32_t>(&head[0], kStructuredReplyMagic);
          StoreBe<uint16_t>(&head[4], i + 1 == session_.contexts.size() ? kChunkDone : 0);
          StoreBe<uint16_t>(&head[6], kChunkBlockStatus);
          StoreBe<uint64_t>(&head[8], job->cookie);
          StoreBe<uint32_t>(&head[16], static_cast<uint32_t>(payload->size()));
          job->status.insert(job->status.end(), head, head + sizeof(head));
          job->status.insert(job->status.end(), payload->begin(), payload->end());
        }
      },
      [this, job] {
        Reply(job, job->error);
        UpdateWatch();
      });
}

void Connection::Reply(Job* job, int error) {
  if (gone_) {
    Release(job);
    return EndIfIdle();
  }
  MakeHead(job, error);
  unsent_bytes_ += job->data.size();
  out_.push_back(job);
  flush_.Schedule();
}

void Connection::MakeHead(Job* job, int error) {
  uint8_t* const head = job->head.data();
  const bool read = job->command == kCmdRead;
  job->data = {};
  if (!session_.structured_replies || (!read && job->command != kCmdBlockStatus)) {
    StoreBe<uint32_t>(head, kSimpleReplyMagic);
    StoreBe<uint32_t>(head + 4, ErrorToWire(error));
    StoreBe<uint64_t>(head + 8, job->cookie);
    job->head_bytes = kSimpleReplyBytes;
    if (read && error == 0) job->data = {job->buffer.data(), job->size};
    return;
  }
  if (!read && error == 0) {
    job->head_bytes = 0;
    job->data = job->status;
    return;
  }
  const bool data = read && error == 0 && job->size != 0;
  StoreBe<uint32_t>(head, kStructuredReplyMagic);
  StoreBe<uint16_t>(head + 4, kChunkDone);
  StoreBe<uint64_t>(head + 8, job->cookie);
  uint32_t payload = 0;
  if (data) {
    StoreBe<uint16_t>(head + 6, kChunkOffsetData);
    StoreBe<uint64_t>(head + 20, job->offset);
    payload = 8;
    job->data = {job->buffer.data(), job->size};
  } else if (error == 0) {
    StoreBe<uint16_t>(head + 6, kChunkNone);
  } else {
    StoreBe<uint16_t>(head + 6, kChunkError);
    StoreBe<uint32_t>(head + 20, ErrorToWire(error));
    StoreBe<uint16_t>(head + 24, 0);
    payload = 6;
  }
  StoreBe<uint32_t>(head + 16, payload + static_cast<uint32_t>(job->data.size()));
  job->head_bytes = kStructuredReplyBytes + payload;
}

void Connection::Flush() {
  Send();
  SubmitBatch();
  if (gone_) return;
  // Requests that waited for room may be here already.
  if (in_begin_ != in_end_ && !stopping_ && !Full()) return Receive();
  UpdateWatch();
  EndIfIdle();
}

void Connection::Send() {
  while (!gone_ && !blocked_ && out_begin_ < out_.size()) {
    pieces_.clear();
    size_t skip = out_sent_;
    const auto add = [&](const uint8_t* bytes, size_t size) {
      const size_t done = std::min(skip, size);
      skip -= done;
      if (done < size) pieces_.push_back({const_cast<uint8_t*>(bytes) + done, size - done});
    };
    for (size_t i = out_begin_; i < out_.size() && pieces_.size() + 2 <= kMaxSendPieces; ++i) {
      add(out_[i]->head.data(), out_[i]->head_bytes);
      add(out_[i]->data.data(), out_[i]->data.size());
    }
    const ssize_t put = session_.channel->Write(pieces_);
    if (put == -EAGAIN) {
      blocked_ = true;
    } else if (put < 0 && put != -EINTR) {
      return Hangup();
    } else if (put > 0) {
      FinishSent(static_cast<size_t>(put));
    }
  }
}

void Connection::FinishSent(size_t bytes) {
  out_sent_ += bytes;
  while (out_begin_ < out_.size()) {
    const size_t size = out_[out_begin_]->head_bytes + out_[out_begin_]->data.size();
    if (out_sent_ < size) return;
    out_sent_ -= size;
    unsent_bytes_ -= out_[out_begin_]->data.size();
    Release(out_[out_begin_++]);
  }
  out_.clear();
  out_begin_ = 0;
}

// What was used last is in the CPU's cache still.
bool Connection::TakeBuffer(Job* job) {
  if (!spare_.empty()) {
    job->buffer = std::move(spare_.back());
    spare_.pop_back();
    kept_bytes_ -= job->buffer.capacity();
  }
  if (!job->buffer.Reserve(job->size)) return false;
  job->piece = {job->buffer.data(), job->size};
  return true;
}

Job* Connection::NewJob() {
  if (idle_.empty()) {
    jobs_.push_back(std::make_unique<Job>());
    Job* const job = jobs_.back().get();
    job->connection = this;
    job->done = OnDone;
    idle_.push_back(job);
  }
  Job* const job = idle_.back();
  idle_.pop_back();
  ++jobs_in_flight_;
  job->fua = job->may_unmap = false;
  job->status.clear();
  return job;
}

void Connection::Release(Job* job) {
  bytes_in_flight_ -= std::exchange(job->held_bytes, 0);
  const size_t capacity = job->buffer.capacity();
  if (capacity > kMaxKeptBufferBytes || kept_bytes_ + capacity > kMaxKeptBytes) {
    job->buffer.Free();
  } else if (capacity != 0) {
    spare_.push_back(std::move(job->buffer));
    kept_bytes_ += capacity;
  }
  --jobs_in_flight_;
  idle_.push_back(job);
}

}  // namespace berth::block::nbd

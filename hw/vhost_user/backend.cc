#include "hw/vhost_user/backend.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.h"

namespace berth::hw {
namespace {

// Messages that are carried out before the loop's other work gets its turn.
constexpr int kMaxMessagesAtOnce = 64;

constexpr uint64_t kRingFeatures = kVirtioVersion1 | kVirtioRingIndirectDesc | kVirtioRingEventIdx;
constexpr uint64_t kOfferedByProtocol =
    kVhostUserMultiQueue | kVhostUserReplyAck | kVhostUserConfig | kVhostUserMemSlots;

template <typename T>
Result<T> PayloadOf(const VhostUserMessage& message) {
  const auto value = message.As<T>();
  if (value) return *value;
  return Fail(Code::kInvalidArgument, "request {} with a payload of {} bytes",
              static_cast<uint32_t>(message.request), message.payload.size());
}

}  // namespace

VhostUserBackend::VhostUserBackend(EventLoop* loop, UniqueFd socket, VirtioDevice* device,
                                   std::function<void(const Status&)> ended)
    : loop_(*loop),
      channel_(std::move(socket)),
      device_(*device),
      ended_(std::move(ended)),
      offered_(device->features() | (kRingFeatures & ~device->refused_ring_features()) |
               kVhostUserProtocolFeatures),
      rings_(device->queue_sizes().size()) {}

Result<std::unique_ptr<VhostUserBackend>> VhostUserBackend::Create(EventLoop* loop, UniqueFd socket,
                                                                   VirtioDevice* device,
                                                                   std::function<void(const Status&)> ended) {
  std::unique_ptr<VhostUserBackend> backend(
      new VhostUserBackend(loop, std::move(socket), device, std::move(ended)));
  for (Ring& ring : backend->rings_) ring.call = TRY(CreateEventFd());
  TRY(loop->Watch(backend->channel_.fd(), EPOLLIN, [raw = backend.get()](uint32_t) { raw->Receive(); }));
  return backend;
}

VhostUserBackend::~VhostUserBackend() {
  loop_.Unwatch(channel_.fd());
  Stop();
}

void VhostUserBackend::NeedsReset(std::string_view why) {
  LOG_WARNING("the front-end's driver broke a rule of virtio, and is served no more until it starts anew: {}",
              why);
  for (const Ring& ring : rings_) {
    if (ring.error) SignalEventFd(ring.error.get());
  }
}

void VhostUserBackend::Receive() {
  for (int i = 0; i < kMaxMessagesAtOnce; ++i) {
    Result<std::optional<VhostUserMessage>> message = channel_.Receive();
    if (message && !*message) return;
    const Status taken = message ? Take(*std::move(*message)) : Status(tl::make_unexpected(message.error()));
    if (taken) continue;
    loop_.Unwatch(channel_.fd());
    Stop();
    return ended_(taken);  // `this` may be gone.
  }
}

// A message that cannot be carried out is refused where the front-end waits for that; else nothing can be
// relied on.
Status VhostUserBackend::Take(VhostUserMessage message) {
  const VhostUserRequest request = message.request;
  const bool acknowledges = message.needs_reply && (protocol_features_ & kVhostUserReplyAck) != 0;
  const Result<Answer> answer = Carry(&message);
  if (answer && *answer == Answer::kReply) return channel_.Reply(request, reply_);
  if (!acknowledges) return answer ? Ok() : Status(tl::make_unexpected(answer.error()));
  if (!answer) LOG_WARNING("vhost-user: {}", answer.error().message());
  ReplyWith(answer ? 0 : 1);
  return channel_.Reply(request, reply_);
}

VhostUserBackend::Answer VhostUserBackend::ReplyWith(uint64_t value) {
  reply_.resize(sizeof(value));
  StoreLe(reply_.data(), value);
  return Answer::kReply;
}

Result<VhostUserBackend::Answer> VhostUserBackend::Carry(VhostUserMessage* message) {
  switch (message->request) {
    case VhostUserRequest::kGetFeatures:
      return ReplyWith(offered_);
    case VhostUserRequest::kGetProtocolFeatures:
      return ReplyWith(kOfferedByProtocol);
    case VhostUserRequest::kGetQueueNum:
      return ReplyWith(rings_.size());
    case VhostUserRequest::kGetMaxMemSlots:
      return ReplyWith(kVhostUserMaxRegions);
    case VhostUserRequest::kGetVringBase:
      return GetVringBase(*message);
    case VhostUserRequest::kGetConfig:
      return GetConfig(*message);
    case VhostUserRequest::kSetOwner:
      break;
    case VhostUserRequest::kResetOwner:
      Stop();
      for (Ring& ring : rings_) ring.started = ring.enabled = false;
      break;
    case VhostUserRequest::kSetFeatures:
    case VhostUserRequest::kSetProtocolFeatures:
      TRY(SetFeatures(*message));
      break;
    case VhostUserRequest::kSetMemTable:
      TRY(SetMemTable(message));
      break;
    case VhostUserRequest::kAddMemReg:
    case VhostUserRequest::kRemMemReg:
      TRY(ChangeMemory(message));
      break;
    case VhostUserRequest::kSetVringNum:
    case VhostUserRequest::kSetVringBase:
    case VhostUserRequest::kSetVringEnable:
      TRY(SetVring(*message));
      break;
    case VhostUserRequest::kSetVringAddr:
      TRY(SetVringAddr(*message));
      break;
    case VhostUserRequest::kSetVringKick:
    case VhostUserRequest::kSetVringCall:
    case VhostUserRequest::kSetVringErr:
      TRY(SetVringFd(message));
      break;
    case VhostUserRequest::kSetConfig:
      TRY(SetConfig(*message));
      break;
    default:
      return Fail(Code::kUnimplemented, "request {}", static_cast<uint32_t>(message->request));
  }
  return Answer::kAcknowledge;
}

Status VhostUserBackend::SetFeatures(const VhostUserMessage& message) {
  const uint64_t chosen = TRY(PayloadOf<uint64_t>(message));
  const bool of_protocol = message.request == VhostUserRequest::kSetProtocolFeatures;
  const uint64_t offered = of_protocol ? kOfferedByProtocol : offered_;
  if ((chosen & ~offered) != 0)
    return Fail(Code::kInvalidArgument, "features {:#x}, of which {:#x} are not offered", chosen,
                chosen & ~offered);
  (of_protocol ? protocol_features_ : features_) = chosen;
  return of_protocol ? Ok() : Restart();
}

Status VhostUserBackend::SetMemTable(VhostUserMessage* message) {
  constexpr size_t kCountBytes = 8;
  const std::string& payload = message->payload;
  if (payload.size() < kCountBytes)
    return Fail(Code::kInvalidArgument, "a memory table of {} bytes", payload.size());
  const auto count = LoadLe<uint32_t>(payload.data());
  if (count > kVhostUserTableRegions || count != message->fds.size() ||
      payload.size() < kCountBytes + count * sizeof(VhostUserMemoryRegion)) {
    return Fail(Code::kInvalidArgument, "a memory table of {} regions with {} descriptors", count,
                message->fds.size());
  }
  Stop();
  memory_.reset();
  table_.Clear();
  for (uint32_t i = 0; i < count; ++i) {
    VhostUserMemoryRegion region;
    std::memcpy(&region, payload.data() + kCountBytes + i * sizeof(region), sizeof(region));
    TRY(table_.Add(region, std::move(message->fds[i])));
  }
  return Start();
}

Status VhostUserBackend::ChangeMemory(VhostUserMessage* message) {
  struct Payload {
    uint64_t padding;
    VhostUserMemoryRegion region;
  };
  const auto payload = TRY(PayloadOf<Payload>(*message));
  const bool adds = message->request == VhostUserRequest::kAddMemReg;
  if (adds && message->fds.size() != 1)
    return Fail(Code::kInvalidArgument, "a memory region with {} descriptors", message->fds.size());
  Stop();
  memory_.reset();
  TRY(adds ? table_.Add(payload.region, std::move(message->fds[0])) : table_.Remove(payload.region));
  return Start();
}

Result<VhostUserBackend::Ring*> VhostUserBackend::RingOf(uint64_t index) {
  if (index < rings_.size()) return &rings_[index];
  return Fail(Code::kInvalidArgument, "ring {} of {}", index, rings_.size());
}

Status VhostUserBackend::SetVring(const VhostUserMessage& message) {
  const auto state = TRY(PayloadOf<VhostUserVringState>(message));
  Ring* const ring = TRY(RingOf(state.index));
  if (message.request == VhostUserRequest::kSetVringEnable) {
    ring->enabled = state.value != 0;
    return Restart();
  }
  if (state.value > UINT16_MAX)
    return Fail(Code::kInvalidArgument, "{} of ring {}", state.value, state.index);
  Stop();
  (message.request == VhostUserRequest::kSetVringNum ? ring->size : ring->next) =
      static_cast<uint16_t>(state.value);
  return Start();
}

Status VhostUserBackend::SetVringAddr(const VhostUserMessage& message) {
  const auto addresses = TRY(PayloadOf<VhostUserVringAddr>(message));
  Ring* const ring = TRY(RingOf(addresses.index));
  Stop();
  ring->addresses = addresses;
  return Start();
}

Status VhostUserBackend::SetVringFd(VhostUserMessage* message) {
  const uint64_t value = TRY(PayloadOf<uint64_t>(*message));
  Ring* const ring = TRY(RingOf(value & kVhostUserVringIndexMask));
  const bool kicks = message->request == VhostUserRequest::kSetVringKick;
  UniqueFd fd;
  if ((value & kVhostUserVringNoFd) == 0) {
    if (message->fds.size() != 1)
      return Fail(Code::kInvalidArgument, "a ring's descriptor is one, not {}", message->fds.size());
    fd = std::move(message->fds[0]);
    // A peer that lets it fill up must not stop this process.
    ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
  } else if (kicks) {
    return Fail(Code::kUnimplemented, "a ring without kicks, which would have to be polled");
  }
  if (kicks) {
    Stop();
    ring->kick = std::move(fd);
    ring->started = true;
    return Start();
  }
  if (message->request == VhostUserRequest::kSetVringErr) {
    ring->error = std::move(fd);
    return Ok();
  }
  if (!fd) fd = TRY(CreateEventFd());
  if (::dup3(fd.get(), ring->call.get(), O_CLOEXEC) < 0)
    return FailErrno(errno, "exchange a ring's interrupt");
  return Ok();
}

Result<VhostUserBackend::Answer> VhostUserBackend::GetVringBase(const VhostUserMessage& message) {
  auto state = TRY(PayloadOf<VhostUserVringState>(message));
  Ring* const ring = TRY(RingOf(state.index));
  Stop();
  ring->started = false;
  state.value = ring->next;
  TRY(Start());
  reply_.resize(sizeof(state));
  std::memcpy(reply_.data(), &state, sizeof(state));
  return Answer::kReply;
}

Result<VhostUserBackend::Answer> VhostUserBackend::GetConfig(const VhostUserMessage& message) {
  VhostUserConfigHeader header;
  reply_.assign(message.payload.begin(), message.payload.end());
  if (reply_.size() < sizeof(header))
    return Fail(Code::kInvalidArgument, "a request for nothing of the configuration");
  std::memcpy(&header, reply_.data(), sizeof(header));
  if (header.size > kVhostUserMaxConfigBytes || header.size != reply_.size() - sizeof(header)) {
    reply_.clear();  // Says so.
    return Answer::kReply;
  }
  device_.ReadConfig(header.offset, std::span(reply_).subspan(sizeof(header)));
  return Answer::kReply;
}

Status VhostUserBackend::SetConfig(const VhostUserMessage& message) {
  VhostUserConfigHeader header;
  const std::string& payload = message.payload;
  if (payload.size() >= sizeof(header)) std::memcpy(&header, payload.data(), sizeof(header));
  if (payload.size() < sizeof(header) || header.size != payload.size() - sizeof(header))
    return Fail(Code::kInvalidArgument, "a change of the configuration with {} bytes", payload.size());
  if (header.size > kVhostUserMaxConfigBytes)
    return Fail(Code::kInvalidArgument, "a change of the configuration with {} bytes", header.size);
  config_offset_ = header.offset;
  config_.assign(payload.begin() + sizeof(header), payload.end());
  device_.WriteConfig(config_offset_, config_);
  return Ok();
}

// Without the protocol's features there is no message that enables a ring.
bool VhostUserBackend::Runs(const Ring& ring) const {
  return ring.started && ring.size != 0 && (ring.enabled || (features_ & kVhostUserProtocolFeatures) == 0);
}

void VhostUserBackend::Stop() {
  if (!std::exchange(active_, false)) return;
  device_.Reset();
  for (Ring& ring : rings_) {
    if (!ring.queue) continue;
    ring.queue->Notify();  // Of what the reset has completed.
    ring.next = ring.queue->available_index();
    ring.queue.reset();
  }
}

Status VhostUserBackend::CreateQueue(Ring* ring) {
  const auto descriptors = table_.GuestAddressOf(ring->addresses.descriptor),
             available = table_.GuestAddressOf(ring->addresses.available),
             used = table_.GuestAddressOf(ring->addresses.used);
  if (!descriptors || !available || !used)
    return Fail(Code::kInvalidArgument, "ring {} is not in the front-end's memory", ring->addresses.index);
  ring->queue = TRY(VirtQueue::Create(memory_.get(),
                                      {.size = ring->size,
                                       .descriptor_area = *descriptors,
                                       .driver_area = *available,
                                       .device_area = *used,
                                       .first = ring->next},
                                      features_, ring->kick.get(), ring->call.get()));
  return Ok();
}

Status VhostUserBackend::Start() {
  if (std::none_of(rings_.begin(), rings_.end(), [&](const Ring& ring) { return Runs(ring); })) return Ok();
  memory_ = table_.Build();
  queues_.clear();
  Status created = Ok();
  for (Ring& ring : rings_) {
    if (created && Runs(ring)) created = CreateQueue(&ring);
    queues_.push_back(ring.queue.get());
  }
  active_ = true;
  if (created) {
    if (!config_.empty()) device_.WriteConfig(config_offset_, config_);
    created = device_.Activate({.features = features_ & ~kVhostUserProtocolFeatures,
                                .memory = memory_.get(),
                                .loop = &loop_,
                                .transport = this,
                                .queues = queues_});
  }
  if (!created) Stop();
  return created;
}

Status VhostUserBackend::Restart() {
  Stop();
  return Start();
}

}  // namespace berth::hw

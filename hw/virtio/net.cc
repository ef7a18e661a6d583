#include "hw/virtio/net.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/log.h"
#include "hw/virtio/net_config_space.h"
#include "hw/virtio/net_control.h"
#include "hw/virtio/net_pair.h"
#include "hw/virtio/net_vhost.h"
#include "hw/virtio/queue_service.h"

namespace berth::hw {
namespace {

constexpr uint16_t kControlQueueSize = 64;
constexpr uint16_t kMinMtu = 68, kMaxMtu = 65535 - 18;

class Net final : public VirtioNet, private NetControlTarget {
 public:
  Net(const VirtioNetOptions& options, net::TapInterface port,
      std::vector<std::unique_ptr<net::VhostNet>> vhost)
      : name_(options.name),
        mac_(options.mac),
        mtu_(options.mtu),
        port_(std::move(port)),
        vhost_(std::move(vhost)),
        config_({.mac = options.mac,
                 .status = kNetLinkUp,
                 .max_virtqueue_pairs = static_cast<uint16_t>(port_.queues.size()),
                 .mtu = options.mtu}) {
    const size_t pairs = port_.queues.size();
    queue_sizes_.assign(2 * pairs, options.queue_size);
    // The control queue follows the pairs there are for the driver: one, unless it knows of several (5.1.2).
    queue_sizes_.push_back(pairs == 1 ? kControlQueueSize : options.queue_size);
  }
  ~Net() override { Reset(); }

  VirtioType type() const override { return VirtioType::kNet; }
  uint64_t features() const override {
    return NetFeatures(port_.offloads, static_cast<unsigned>(port_.queues.size()));
  }
  uint64_t refused_ring_features() const override { return vhost_.empty() ? 0 : RefusedByVhost(*vhost_[0]); }
  std::span<const uint16_t> queue_sizes() const override { return queue_sizes_; }
  void ReadConfig(uint32_t offset, std::span<uint8_t> bytes) override { config_.Read(offset, bytes); }
  // Only a legacy driver writes its address here.
  void WriteConfig(uint32_t, std::span<const uint8_t>) override {}
  Status Activate(const VirtioActivation& activation) override;
  void Reset() override;
  std::vector<NamedCounter> counters() const override;

  void SetLink(bool up) override;
  void Announce() override;
  bool uses_vhost() const override { return vhost_running_; }

 private:
  bool SetMacAddress(const MacAddress& mac) override;
  bool SetQueuePairs(uint16_t pairs) override;
  bool SetGuestOffloads(uint64_t offloads) override;
  bool AcknowledgeAnnouncement() override;

  Status StartVhostPairs(const VirtioActivation& activation);
  void StopVhostPairs();
  std::unique_ptr<NetPair> CreatePair(const VirtioActivation& activation, size_t index);
  void ServeControl(const DescriptorChain& chain);
  void ChangeStatus(uint16_t set, uint16_t clear);

  const std::string name_;
  const MacAddress mac_;
  const uint16_t mtu_;
  const net::TapInterface port_;
  const std::vector<std::unique_ptr<net::VhostNet>> vhost_;
  std::vector<uint16_t> queue_sizes_;
  NetConfigSpace config_;

  // While activated.
  EventLoop* loop_ = nullptr;
  VirtioTransport* transport_ = nullptr;
  const GuestMemory* memory_ = nullptr;
  uint64_t features_ = 0;
  VirtQueue* control_ring_ = nullptr;
  ReceiveFilter filter_;
  NetControl control_;
  std::unique_ptr<QueueService> control_service_;
  std::vector<std::unique_ptr<NetPair>> pairs_;  // Null where the driver has not enabled both queues.
  bool vhost_running_ = false;
  bool link_up_ = true;
  NetCounters counters_;
};

Status Net::Activate(const VirtioActivation& activation) {
  loop_ = activation.loop;
  transport_ = activation.transport;
  memory_ = activation.memory;
  features_ = activation.features;
  const size_t pairs = features_ & kNetMultiQueue ? port_.queues.size() : 1;
  filter_ = {};
  filter_.mac = mac_;
  filter_.filter_vlans = (features_ & kNetCtrlVlan) != 0;
  control_ = {.features = features_,
              .max_queue_pairs = static_cast<uint16_t>(pairs),
              .filter = &filter_,
              .target = this};

  if (!vhost_.empty()) {
    const Status started = StartVhostPairs(activation);
    if (!started)
      LOG_WARNING_LIMITED("{}: packets are moved without vhost: {}", name_, started.error().message());
    vhost_running_ = started.has_value();
  }
  if (!vhost_running_) {
    for (size_t i = 0; i < pairs; ++i) pairs_.push_back(CreatePair(activation, i));
    if (pairs_[0]) TRY(pairs_[0]->Start());
  }
  if (!SetGuestOffloads(features_ & kNetGuestOffloads)) {
    return Fail(Code::kInternal, "{}: the tap refuses offloads that it took before", name_);
  }
  if (features_ & kNetCtrlQueue) {
    const auto index = static_cast<unsigned>(2 * pairs);
    control_ring_ = activation.queues[index];
    control_service_ = TRY(QueueService::Start(
        activation, index, [this](const DescriptorChain& chain) { ServeControl(chain); }));
  }
  return Ok();
}

void Net::Reset() {
  control_service_.reset();
  pairs_.clear();
  StopVhostPairs();
  // Errors leave a queue steered to that nobody reads, until the next driver sets them anew.
  for (size_t i = 1; i < port_.queues.size(); ++i) (void)port_.queues[i]->SetEnabled(false);
  (void)port_.queues[0]->SetOffloads({});
  filter_ = {};
  features_ = 0;
  config_.SetMacAddress(mac_);
  config_.ChangeStatus(0, kNetAnnounceNeeded);
  // What an activation lends may be gone from here on.
  loop_ = nullptr;
  transport_ = nullptr;
  memory_ = nullptr;
  control_ring_ = nullptr;
}

// Every pair whose queues are enabled, or none.
Status Net::StartVhostPairs(const VirtioActivation& activation) {
  const size_t pairs = control_.max_queue_pairs;
  Status started = Ok();
  for (size_t i = 0; i < pairs && started; ++i) {
    const VirtQueue* receive = activation.queues[2 * i];
    const VirtQueue* transmit = activation.queues[2 * i + 1];
    if (receive == nullptr || transmit == nullptr) continue;
    net::VhostNet* const vhost = vhost_[i].get();
    started = StartVhost(vhost, *memory_, features_, *receive, *transmit, port_.queues[i]->fd());
    if (!started) break;
    started = loop_->Watch(vhost->error_fd(), EPOLLIN | EPOLLET,
                           [this](uint32_t) { transport_->NeedsReset("vhost-net gave up on a queue"); });
  }
  if (!started) StopVhostPairs();
  return started;
}

void Net::StopVhostPairs() {
  vhost_running_ = false;
  for (const auto& vhost : vhost_) {
    if (loop_ != nullptr) loop_->Unwatch(vhost->error_fd());
    vhost->Stop();
  }
}

std::unique_ptr<NetPair> Net::CreatePair(const VirtioActivation& activation, size_t index) {
  VirtQueue* const receive = activation.queues[2 * index];
  VirtQueue* const transmit = activation.queues[2 * index + 1];
  if (receive == nullptr || transmit == nullptr) return nullptr;
  auto pair = std::make_unique<NetPair>(
      NetPair::Parts{.memory = memory_,
                     .loop = loop_,
                     .receive_ring = receive,
                     .transmit_ring = transmit,
                     .port = port_.queues[index].get(),
                     .filter = &filter_,
                     .counters = &counters_,
                     .features = features_,
                     .broken = [this](std::string_view why) { transport_->NeedsReset(why); },
                     .port_failed =
                         [this] {
                           LOG_WARNING_LIMITED("{}: its tap is gone; the link is down", name_);
                           SetLink(false);
                         }});
  pair->SetLink(link_up_);
  return pair;
}

void Net::ServeControl(const DescriptorChain& chain) {
  const Result<uint32_t> written = control_.Execute(*memory_, chain);
  if (!written) return transport_->NeedsReset(written.error().message());
  control_ring_->Push(chain, *written);
}

bool Net::SetMacAddress(const MacAddress& mac) {
  config_.SetMacAddress(mac);
  return true;
}

bool Net::SetQueuePairs(uint16_t pairs) {
  if (!vhost_running_ && std::any_of(pairs_.begin(), pairs_.begin() + pairs, std::logical_not<>()))
    return false;
  // Those that stay come first: packets always have somewhere to go.
  bool done = true;
  for (size_t i = 0; i < port_.queues.size(); ++i) {
    const bool enabled = i < pairs;
    NetPair* const pair = i < pairs_.size() ? pairs_[i].get() : nullptr;
    if (pair != nullptr && !enabled) pair->Stop();
    if (i != 0 && !port_.queues[i]->SetEnabled(enabled)) {
      done = false;
    } else if (pair != nullptr && enabled && !pair->Start()) {
      done = false;
    }
  }
  return done;
}

bool Net::SetGuestOffloads(uint64_t offloads) {
  if (!port_.queues[0]->SetOffloads(OffloadsOf(offloads))) return false;
  const uint32_t frame = std::max<uint32_t>(mtu_, 1500) + 18;
  const bool segments = (offloads & ~(kNetGuestChecksum | kNetGuestEcn)) != 0;
  for (const auto& pair : pairs_) {
    if (pair == nullptr) continue;
    pair->receiver().SetLargestPacket(segments ? kMaxPacketSize
                                               : frame + static_cast<uint32_t>(sizeof(NetHeader)));
    pair->receiver().SetGuestChecksum((offloads & kNetGuestChecksum) != 0);
  }
  return true;
}

bool Net::AcknowledgeAnnouncement() {
  config_.ChangeStatus(0, kNetAnnounceNeeded);
  return true;
}

void Net::SetLink(bool up) {
  link_up_ = up;
  for (const auto& pair : pairs_) {
    if (pair != nullptr) pair->SetLink(up);
  }
  ChangeStatus(up ? kNetLinkUp : 0, up ? 0 : kNetLinkUp);
}

void Net::Announce() {
  if (features_ & kNetAnnounce) ChangeStatus(kNetAnnounceNeeded, 0);
}

void Net::ChangeStatus(uint16_t set, uint16_t clear) {
  if (config_.ChangeStatus(set, clear) && features_ != 0) transport_->ConfigChanged();
}

std::vector<NamedCounter> Net::counters() const {
  return {{"received_packets", &counters_.receive.packets},
          {"received_bytes", &counters_.receive.bytes},
          {"received_filtered", &counters_.receive.filtered},
          {"received_too_large", &counters_.receive.too_large},
          {"receive_errors", &counters_.receive.errors},
          {"sent_packets", &counters_.transmit.packets},
          {"sent_bytes", &counters_.transmit.bytes},
          {"sent_invalid", &counters_.transmit.invalid},
          {"send_errors", &counters_.transmit.errors}};
}

Status Check(const VirtioNetOptions& options, const net::TapInterface& port, size_t vhosts) {
  if ((options.mac[0] & 1) != 0 || options.mac == MacAddress{}) {
    return Fail(Code::kInvalidArgument, "{}: the MAC address is not that of one interface", options.name);
  }
  if (options.mtu < kMinMtu || options.mtu > kMaxMtu) {
    return Fail(Code::kInvalidArgument, "{}: an MTU of {}; it is {} to {}", options.name, options.mtu,
                kMinMtu, kMaxMtu);
  }
  if (!IsPowerOfTwo(options.queue_size) || options.queue_size < 4 || options.queue_size > kMaxQueueSize) {
    return Fail(Code::kInvalidArgument, "{}: queues of {} entries; they have a power of two from 4 to {}",
                options.name, options.queue_size, kMaxQueueSize);
  }
  if (port.queues.empty() || port.queues.size() > kMaxQueuePairs) {
    return Fail(Code::kInvalidArgument, "{}: {} pairs of queues; there are 1 to {}", options.name,
                port.queues.size(), kMaxQueuePairs);
  }
  if (vhosts != 0 && vhosts != port.queues.size()) {
    return Fail(Code::kInvalidArgument, "{}: {} of vhost-net for {} pairs of queues", options.name, vhosts,
                port.queues.size());
  }
  return Ok();
}

}  // namespace

Result<std::unique_ptr<VirtioNet>> CreateVirtioNet(const VirtioNetOptions& options, net::TapInterface port,
                                                   std::vector<std::unique_ptr<net::VhostNet>> vhost) {
  TRY(Check(options, port, vhost.size()));
  return std::make_unique<Net>(options, std::move(port), std::move(vhost));
}

}  // namespace berth::hw

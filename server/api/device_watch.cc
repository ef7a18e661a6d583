#include "server/api/device_watch.h"

#include <google/protobuf/util/message_differencer.h>

namespace berth::server {
namespace {

using Told = v1::WatchHostDevicesResponse;

Told Tell(Told::Kind kind, const v1::HostDevice& device) {
  Told told;
  told.set_kind(kind);
  *told.mutable_device() = device;
  return told;
}

}  // namespace

std::vector<Told> DeviceWatch::Update(std::vector<v1::HostDevice> devices) {
  std::map<std::string, v1::HostDevice> now;
  for (v1::HostDevice& device : devices) now.emplace(device.name(), std::move(device));
  std::vector<Told> told;
  for (const auto& [name, device] : known_) {
    if (!now.contains(name)) told.push_back(Tell(Told::REMOVED, device));
  }
  for (const auto& [name, device] : now) {
    const auto before = known_.find(name);
    if (before == known_.end()) {
      told.push_back(Tell(Told::ADDED, device));
    } else if (!google::protobuf::util::MessageDifferencer::Equals(before->second, device)) {
      told.push_back(Tell(Told::CHANGED, device));
    }
  }
  if (!synced_) told.emplace_back().set_kind(Told::SYNCED);
  synced_ = true;
  known_ = std::move(now);
  return told;
}

}  // namespace berth::server

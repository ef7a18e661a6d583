// What a watcher of devices is told.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "berth/v1/host_service.pb.h"

namespace berth::server {

// One watcher's knowledge. Pure.
class DeviceWatch {
 public:
  // What is to be told now that these (and no other) devices match: at first all of them and SYNCED, then
  // what is different from the last call. Removals come first, so that an address is free before it is taken.
  std::vector<v1::WatchHostDevicesResponse> Update(std::vector<v1::HostDevice> devices);

 private:
  std::map<std::string, v1::HostDevice> known_;  // By name.
  bool synced_ = false;
};

}  // namespace berth::server

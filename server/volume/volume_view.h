// Pools and volumes as the API shows them.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "berth/v1/volume.pb.h"
#include "server/volume/volume_pool.h"
#include "server/volume/volume_users.h"

namespace berth::server {

// What is wrong with one volume is shown with it.
Result<std::vector<v1::Volume>> ShowVolumes(const VolumePool& directory, const VolumeUsers& users);
// VolumePool::Find's errors.
Result<v1::Volume> ShowVolume(const VolumePool& directory, const std::string& id, const VolumeUsers& users);

// What is wrong with it is shown.
v1::Pool ShowPool(const PoolSettings& settings);

}  // namespace berth::server

// What requests say of volumes, checked and read.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "berth/v1/volume.pb.h"
#include "server/volume/volume_pool.h"

namespace berth::server {

// INVALID_ARGUMENT, INVALID_FIELD or REQUIRED_FIELD.
Result<std::string> PoolOf(const std::string& parent);  // The id in the request's parent.
Result<VolumeName> ParseVolumeName(const std::string& name, const std::string& field = "name");
// The id of what is to be made.
Status CheckNewId(const std::string& field, const std::string& id);
Status CheckVolumeSize(const std::string& field, int64_t size_bytes);
// Of a new volume of the pool: "raw".
Result<std::string> CheckFormat(const std::string& field, v1::Volume::Format format, const VolumePool& pool);
v1::Volume::Format FormatOf(const VolumeFile& file);
Result<uint64_t> RateOf(int64_t bytes_per_second);  // 0: no limit.

// Of a volume with the content of something of `content_bytes`; `asked_bytes` 0: no larger than need be.
Result<uint64_t> SizeOfCopy(uint64_t content_bytes, int64_t asked_bytes);

}  // namespace berth::server

// How what is inside a volume is changed, whether a guest runs with it or not: VolumeVerbs::ChangeContent.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <google/protobuf/message.h>

#include "base/error.h"
#include "server/guest/field_error.h"
#include "server/operation/operation_runner.h"
#include "server/volume/volume_pool.h"

namespace berth::server {

// What the operation does; its response.
using ContentWork = std::function<Result<std::unique_ptr<google::protobuf::Message>>(
    const VolumePool& directory, OperationProgress& progress)>;

// `Name` is SnapshotName, say, and `what` "snapshot".
template <typename Name>
Result<Name> ParseInVolume(const std::string& name, std::string_view what) {
  auto parsed = Name::Parse(name);
  if (parsed) return *std::move(parsed);
  return BadPath("name", "\"{}\" is no {}'s name, pools/POOL/volumes/VOLUME/{}s/ID", name, what, what);
}

// The one of this name, as a response.
template <typename Shown>
Result<std::unique_ptr<google::protobuf::Message>> FindShown(const std::vector<Shown>& all,
                                                             const std::string& name) {
  for (const Shown& one : all) {
    if (one.name() == name) return std::make_unique<Shown>(one);
  }
  return Fail(Code::kAborted, "{} was deleted meanwhile", name);
}

}  // namespace berth::server

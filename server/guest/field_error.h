// How the checks of a request say which field of a guest is wrong, and why.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::server {

// `path` is a path below the request: "guest.ttl".
template <typename... Args>
tl::unexpected<Error> BadPath(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
  return Fail(Error(Code::kInvalidArgument, path + ": " + fmt::format(format, std::forward<Args>(args)...))
                  .Reason("INVALID_FIELD")
                  .Field(path));
}

// `field` is a path below the spec: "cpus.vcpu_count", "disks[0].path".
template <typename... Args>
tl::unexpected<Error> BadField(std::string_view field, fmt::format_string<Args...> format, Args&&... args) {
  return BadPath(fmt::format("guest.spec.{}", field), format, std::forward<Args>(args)...);
}

inline tl::unexpected<Error> MissingField(std::string_view field) {
  return Fail(Error(Code::kInvalidArgument, fmt::format("guest.spec.{} is required", field))
                  .Reason("REQUIRED_FIELD")
                  .Field(fmt::format("guest.spec.{}", field)));
}

// A path of the host: absolute, and there.
inline Status CheckPathField(std::string_view field, const std::string& path) {
  constexpr size_t kMaxPathBytes = 4095;
  if (path.empty()) return MissingField(field);
  if (path[0] != '/' || path.size() > kMaxPathBytes || path.find('\0') != std::string::npos) {
    return BadField(field, "must be an absolute path of at most {} bytes", kMaxPathBytes);
  }
  return Ok();
}

}  // namespace berth::server

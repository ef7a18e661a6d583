// What a guest is made from: a file of JSON or YAML.
#pragma once

#include <string>

#include "base/error.h"
#include "berth/v1/guest.pb.h"

namespace berth::cli {

inline constexpr size_t kMaxSpecBytes = 1 << 20;

// A GuestSpec, or a Guest as `guest show -o yaml` prints it, of which name, labels, spec and etag count. A
// file that begins with "{" is JSON. INVALID_ARGUMENT, INVALID_SPEC, with the place, for what is neither, and
// for fields that do not exist.
Result<berth::v1::Guest> ParseSpec(const std::string& text);
// The same for a file, or for the standard input if `path` is "-".
Result<berth::v1::Guest> ReadSpecFile(const std::string& path);

}  // namespace berth::cli

// How an image is described: names and values, flat, with dots where they nest ("file.filename" = "a.img").
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace berth::block {

using Options = std::map<std::string, std::string, std::less<>>;

// `json:{"driver": "qcow2", "file": {"filename": "a"}}`, without the prefix, flattened. Bounded in depth and
// length.
Result<Options> ParseJsonOptions(std::string_view json);
// `driver=qcow2,file.filename=a,,b`: a comma is written twice.
Result<Options> ParseKeyValueOptions(std::string_view text);
// The same in the order of writing. A name without a value is "on" (and "noNAME" is NAME "off").
Result<std::vector<std::pair<std::string, std::string>>> SplitKeyValues(std::string_view text);

// Removes an option and returns its value.
std::optional<std::string> Take(Options* options, std::string_view name);
// Removes every option that starts with `prefix` ("file.") and returns them without it.
Options TakePrefix(Options* options, std::string_view prefix);

// A size as people write it: "10G", "1.5k", "4096", "0x1000"; suffixes b k M G T P E, of 1024.
// INVALID_ARGUMENT; OUT_OF_RANGE from 2^64 on.
Result<uint64_t> ParseSize(std::string_view text);
// Decimal, 0x or octal, all of the text.
std::optional<uint64_t> ParseNumber(std::string_view text);
// "on"/"off", "yes"/"no", "true"/"false", "y"/"n".
Result<bool> ParseBool(std::string_view name, std::string_view text);

inline constexpr size_t kMaxJsonBytes = 1 << 20;
inline constexpr int kMaxJsonDepth = 64;

}  // namespace berth::block

// YAML for what the API has as JSON: YAML 1.2's core schema decides which plain scalars are numbers, truth
// values or null.
#pragma once

#include <string>

#include "base/error.h"

namespace berth::cli {

// INVALID_ARGUMENT, with the line, for what is not YAML, is no tree of scalars, lists and maps, or is larger
// than kMaxYamlBytes once its aliases are written out.
Result<std::string> JsonFromYaml(const std::string& yaml);
inline constexpr size_t kMaxYamlBytes = 1 << 20;

// `json` must be JSON.
std::string YamlFromJson(const std::string& json);

}  // namespace berth::cli

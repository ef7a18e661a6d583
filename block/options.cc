#include "block/options.h"

#include <cerrno>
#include <cmath>
#include <cstdlib>

#include <nlohmann/json.hpp>

namespace berth::block {
namespace {

using Json = nlohmann::json;

Status Flatten(const Json& value, const std::string& name, int depth, Options* out) {
  if (depth > kMaxJsonDepth) return Fail(Code::kInvalidArgument, "the JSON is nested too deep");
  if (value.is_object() || value.is_array()) {
    size_t index = 0;
    for (const auto& item : value.items()) {
      const std::string key = value.is_array() ? std::to_string(index++) : item.key();
      TRY(Flatten(item.value(), name.empty() ? key : name + "." + key, depth + 1, out));
    }
    return Ok();
  }
  std::string text;
  if (value.is_string()) {
    text = value.get<std::string>();
  } else if (value.is_boolean()) {
    text = value.get<bool>() ? "on" : "off";
  } else {
    text = value.dump();
  }
  (*out)[name] = text;
  return Ok();
}

// Powers of 1024 by suffix letter; -1 for none.
int PowerOf(char suffix) {
  switch (suffix) {
    case 'b':
    case 'B':
      return 0;
    case 'k':
    case 'K':
      return 1;
    case 'm':
    case 'M':
      return 2;
    case 'g':
    case 'G':
      return 3;
    case 't':
    case 'T':
      return 4;
    case 'p':
    case 'P':
      return 5;
    case 'e':
    case 'E':
      return 6;
    default:
      return -1;
  }
}

}  // namespace

Result<Options> ParseJsonOptions(std::string_view json) {
  if (json.size() > kMaxJsonBytes) return Fail(Code::kInvalidArgument, "Could not parse the JSON options");
  const Json value = Json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return Fail(Code::kInvalidArgument, "Could not parse the JSON options");
  if (!value.is_object()) return Fail(Code::kInvalidArgument, "Invalid JSON object given");
  Options options;
  TRY(Flatten(value, "", 0, &options));
  return options;
}

Result<std::vector<std::pair<std::string, std::string>>> SplitKeyValues(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> all;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end_of_name = text.find_first_of("=,", at);
    std::string name(text.substr(at, end_of_name - at));
    if (end_of_name == text.npos || text[end_of_name] == ',') {
      at = end_of_name == text.npos ? text.size() : end_of_name + 1;
      if (name.empty()) return Fail(Code::kInvalidArgument, "Invalid parameter ''");
      const bool negated = name.starts_with("no") && name.size() > 2;
      all.emplace_back(negated ? name.substr(2) : name, negated ? "off" : "on");
      continue;
    }
    std::string value;
    for (at = end_of_name + 1; at < text.size(); ++at) {
      if (text[at] != ',') {
        value += text[at];
      } else if (at + 1 < text.size() && text[at + 1] == ',') {
        value += text[at++];
      } else {
        break;
      }
    }
    ++at;  // Past the comma.
    if (name.empty()) return Fail(Code::kInvalidArgument, "Invalid parameter ''");
    all.emplace_back(std::move(name), std::move(value));
  }
  return all;
}

Result<Options> ParseKeyValueOptions(std::string_view text) {
  Options options;
  for (auto& [name, value] : TRY(SplitKeyValues(text))) options[name] = std::move(value);
  return options;
}

std::optional<std::string> Take(Options* options, std::string_view name) {
  const auto found = options->find(name);
  if (found == options->end()) return std::nullopt;
  std::string value = std::move(found->second);
  options->erase(found);
  return value;
}

Options TakePrefix(Options* options, std::string_view prefix) {
  Options taken;
  for (auto at = options->lower_bound(prefix); at != options->end() && at->first.starts_with(prefix);) {
    taken[at->first.substr(prefix.size())] = std::move(at->second);
    at = options->erase(at);
  }
  return taken;
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  const std::string copy(text);
  if (copy.empty() || (copy[0] < '0' || copy[0] > '9')) return std::nullopt;
  char* end = nullptr;
  errno = 0;
  const uint64_t value = std::strtoull(copy.c_str(), &end, 0);
  if (errno != 0 || *end != '\0') return std::nullopt;
  return value;
}

Result<uint64_t> ParseSize(std::string_view text) {
  const std::string copy(text);
  const auto bad = [&] { return Fail(Code::kInvalidArgument, "\"{}\" is not a size", text); };
  if (copy.empty() || !((copy[0] >= '0' && copy[0] <= '9') || copy[0] == '.')) return bad();
  const bool hex = copy.starts_with("0x") || copy.starts_with("0X");
  char* end = nullptr;
  errno = 0;
  uint64_t whole = std::strtoull(copy.c_str(), &end, hex ? 16 : 10);
  if (errno == ERANGE) return Fail(Code::kOutOfRange, "\"{}\" is too large", text);
  double fraction = 0;
  if (!hex && *end == '.') {
    const char* digits = end;
    fraction = std::strtod(digits, &end);
    if (end == digits + 1 || fraction >= 1) return bad();
    for (const char* c = digits + 1; c != end; ++c) {
      if (*c < '0' || *c > '9') return bad();  // No exponents.
    }
  }
  uint64_t unit = 1;
  if (*end != '\0') {
    const int power = PowerOf(*end);
    if (power < 0 || (hex && power == 0) || *(end + 1) != '\0') return bad();
    unit = uint64_t{1} << (10 * power);
  }
  if (unit == 1 && fraction != 0) return bad();
  if (unit != 0 && whole > UINT64_MAX / unit) return Fail(Code::kOutOfRange, "\"{}\" is too large", text);
  whole *= unit;
  const auto part = static_cast<uint64_t>(fraction * static_cast<double>(unit) + 0.5);
  if (whole > UINT64_MAX - part) return Fail(Code::kOutOfRange, "\"{}\" is too large", text);
  return whole + part;
}

Result<bool> ParseBool(std::string_view name, std::string_view text) {
  for (const char* yes : {"on", "yes", "true", "y"}) {
    if (text == yes) return true;
  }
  for (const char* no : {"off", "no", "false", "n"}) {
    if (text == no) return false;
  }
  return Fail(Code::kInvalidArgument, "Parameter '{}' expects 'on' or 'off'", name);
}

}  // namespace berth::block

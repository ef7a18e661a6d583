#include "cli/output.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ostream>

#include <google/protobuf/util/json_util.h>

#include "cli/yaml.h"
#include "proto/error_details.h"

namespace berth::cli {
namespace {

constexpr size_t kMaxCellBytes = 200;

// Columns on a terminal, roughly: characters, not bytes.
size_t Width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

Result<OutputFormat> ParseOutputFormat(std::string_view text) {
  if (text == "table") return OutputFormat::kTable;
  if (text == "json") return OutputFormat::kJson;
  if (text == "yaml") return OutputFormat::kYaml;
  if (text == "name") return OutputFormat::kName;
  return Fail(Code::kInvalidArgument, "no output format \"{}\"; there are table, json, yaml and name", text);
}

void Table::Print(std::ostream& out) const {
  std::vector<std::vector<std::string>> cells = rows_;
  std::vector<size_t> widths;
  for (std::vector<std::string>& row : cells) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      row[i] = row[i].empty() ? "-" : Printable(row[i], kMaxCellBytes);
      widths[i] = std::max(widths[i], Width(row[i]));
    }
  }
  for (const std::vector<std::string>& row : cells) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - Width(row[i]) + 2, ' ');
    }
    out << line << '\n';
  }
}

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  // Only an Any of an unknown type has no JSON.
  return status.ok() ? json : message.ShortDebugString() + "\n";
}

std::string ToYaml(const google::protobuf::Message& message) { return YamlFromJson(ToJson(message)); }

void PrintMessage(std::ostream& out, OutputFormat format, const google::protobuf::Message& message) {
  if (format == OutputFormat::kJson) out << ToJson(message);
  if (format == OutputFormat::kYaml) out << ToYaml(message);
}

std::string FormatBytes(int64_t bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  const bool whole = value == static_cast<double>(static_cast<int64_t>(value));
  return fmt::format("{:.{}f} {}", value, whole ? 0 : 1, kUnits[unit]);
}

Result<int64_t> ParseBytes(std::string_view text) {
  constexpr std::string_view kSuffixes = "KMGTP";
  int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [after, error] = std::from_chars(text.data(), end, number);
  const std::string_view suffix(after, end);
  const size_t unit = suffix.empty() ? 0 : kSuffixes.find(suffix[0]) + 1;  // 0: none that is known.
  const size_t shift = 10 * unit;
  const bool good = error == std::errc() && number >= 0 && suffix.size() <= 1 &&
                    (unit != 0) == !suffix.empty() && number <= INT64_MAX >> shift;
  if (good) return number << shift;
  return Fail(Code::kInvalidArgument, "\"{}\" is no size, as 20G is", text);
}

}  // namespace berth::cli

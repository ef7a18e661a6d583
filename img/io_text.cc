#include <cstdio>
#include <cstring>

#include "block/options.h"
#include "img/io.h"

namespace berth::img {

std::optional<std::string> IoOptions::Value(char letter) const {
  for (const auto& [one, value] : values) {
    if (one == letter) return value;
  }
  return std::nullopt;
}

std::optional<IoOptions> ParseIoOptions(const Words& words, const char* letters) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  IoOptions options;
  ::optind = 0;  // Begin anew.
  int found = 0;
  while ((found = ::getopt(static_cast<int>(words.size()), arguments.data(), letters)) != -1) {
    if (found == '?') {
      PrintIoUsage(words[0]);
      return std::nullopt;
    }
    options.letters += static_cast<char>(found);
    if (::optarg != nullptr) options.values.emplace_back(static_cast<char>(found), ::optarg);
  }
  // getopt has moved what is left to the end.
  for (size_t i = static_cast<size_t>(::optind); i < words.size(); ++i)
    options.rest.emplace_back(arguments[i]);
  return options;
}

std::optional<int64_t> ParseIoNumber(const std::string& text) {
  const auto size = block::ParseSize(text);
  if (size && *size <= INT64_MAX) return static_cast<int64_t>(*size);
  const bool large = size || size.error().code() == Code::kOutOfRange;
  fmt::print("Parsing error: {} -- {}\n",
             large ? "argument too large" : "non-numeric argument, or extraneous/unrecognized suffix", text);
  return std::nullopt;
}

std::optional<uint8_t> ParseIoPattern(const std::string& text) {
  const auto number = block::ParseNumber(text);
  if (number && *number <= UINT8_MAX) return static_cast<uint8_t>(*number);
  fmt::print("{} is not a valid pattern byte\n", text);
  return std::nullopt;
}

std::string IoSizeText(double bytes) {
  static constexpr const char* kUnits[] = {" bytes", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
  int power = 0;
  while (power < 6 && bytes >= 1024) {
    bytes /= 1024;
    ++power;
  }
  char text[64];
  std::snprintf(text, sizeof(text), power == 0 ? "%f" : "%.3f", bytes);
  if (char* const zeroes = std::strstr(text, ".000")) *zeroes = '\0';
  return std::string(text) + kUnits[power];
}

void IoReport::Print(std::string_view done, int64_t offset, int64_t count, bool terse) const {
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
  const auto hundredths = static_cast<uint64_t>(seconds * 100);
  const double speed = static_cast<double>(count) / seconds, operations = 1 / seconds;
  const uint64_t minutes = hundredths / 6000 % 60, hours = hundredths / 360'000;
  const std::string clock =
      fmt::format("{}:{:02}:{:02}.{:02}", hours, minutes, hundredths / 100 % 60, hundredths % 100);
  if (terse) {
    fmt::print("{},1,{},{:.3f},{:.3f}\n", count, clock, speed, operations);
    return;
  }
  const std::string took =
      minutes + hours == 0 ? fmt::format("{:02}.{:02} sec", hundredths / 100, hundredths % 100) : clock;
  fmt::print("{} {}/{} bytes at offset {}\n{}, 1 ops; {} ({}/sec and {:.4f} ops/sec)\n", done, count, count,
             offset, IoSizeText(static_cast<double>(count)), took, IoSizeText(speed), operations);
}

void PrintIoDump(std::span<const uint8_t> bytes, int64_t offset) {
  constexpr size_t kLine = 16;
  for (size_t at = 0; at < bytes.size(); at += kLine) {
    const auto line = bytes.subspan(at, std::min(kLine, bytes.size() - at));
    fmt::print("{:08x}:  ", static_cast<uint64_t>(offset) + at);
    for (const uint8_t byte : line) fmt::print("{:02x} ", byte);
    fmt::print(" ");
    for (const uint8_t byte : line)
      fmt::print("{}", byte >= ' ' && byte < 0x7f ? static_cast<char>(byte) : '.');
    fmt::print("\n");
  }
}

}  // namespace berth::img

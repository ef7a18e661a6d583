#include "host/pressure.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "host/sysfs.h"

namespace berth::host {
namespace {

template <typename T>
bool Parse(std::string_view word, std::string_view key, T* value) {
  if (!word.starts_with(key)) return false;
  word.remove_prefix(key.size());
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), *value);
  return error == std::errc() && end == word.data() + word.size();
}

// "some avg10=0.12 avg60=0.05 avg300=0.00 total=123456"
bool ParseStall(const std::vector<std::string>& words, Stall* stall) {
  return words.size() == 5 && Parse(words[1], "avg10=", &stall->percent) &&
         Parse(words[4], "total=", &stall->total_us) && stall->percent >= 0 && stall->percent <= 100;
}

}  // namespace

std::optional<Pressure> ParsePressure(std::string_view text) {
  Pressure pressure;
  bool some = false;
  for (std::string_view line : SplitLines(text)) {
    const std::vector<std::string> words = SplitWords(line);
    if (words.empty()) continue;
    if (words[0] == "some") {
      if (!ParseStall(words, &pressure.some)) return std::nullopt;
      some = true;
    } else if (words[0] == "full" && !ParseStall(words, &pressure.full)) {
      return std::nullopt;
    }
  }
  if (!some) return std::nullopt;
  return pressure;
}

std::optional<Pressure> ReadPressure(const std::string& path) {
  const size_t slash = path.rfind('/');
  const auto text = SysfsDirectory(path.substr(0, slash)).Text(path.substr(slash + 1));
  if (!text) return std::nullopt;
  return ParsePressure(*text);
}

Result<UniqueFd> WatchPressure(const std::string& path, std::chrono::microseconds stall,
                               std::chrono::microseconds window) {
  UniqueFd fd = TRY(Open(path, O_RDWR | O_NONBLOCK));
  const std::string trigger = fmt::format("some {} {}", stall.count(), window.count());
  if (::write(fd.get(), trigger.c_str(), trigger.size() + 1) < 0)
    return FailErrno(errno, "ask for a sign of \"{}\" at {}", trigger, path);
  return fd;
}

}  // namespace berth::host

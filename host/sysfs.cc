#include "host/sysfs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>

namespace berth::host {
namespace {

std::optional<int64_t> ParseInBase(std::string_view digits, int base) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size() || value > INT64_MAX) return std::nullopt;
  return static_cast<int64_t>(value);
}

std::optional<std::string> ReadAll(int fd) {
  std::string text;
  std::array<char, 4096> buffer;
  while (text.size() < kMaxAttributeBytes) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0) return std::nullopt;
    text.append(buffer.data(), static_cast<size_t>(count));
    // A regular file's short read is its last: for most attributes this saves one of four system calls.
    if (static_cast<size_t>(count) < buffer.size()) break;
  }
  return text;
}

// What getdents64(2) writes, one after the other.
struct DirectoryEntry {
  uint64_t inode;
  int64_t offset;
  uint16_t size;
  uint8_t type;
  char name[];
};

}  // namespace

std::string_view TrimBlanks(std::string_view text) {
  constexpr std::string_view kBlanks(" \t\r\n\0", 5);
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::optional<int64_t> ParseNumber(std::string_view text) {
  text = TrimBlanks(text);
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  const auto value = ParseInBase(hex ? text.substr(2) : text, hex ? 16 : 10);
  return value && negative ? -*value : value;
}

std::optional<int64_t> ParseHexNumber(std::string_view text) {
  text = TrimBlanks(text);
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  return ParseInBase(text, 16);
}

std::vector<std::string> SplitWords(std::string_view text) {
  std::vector<std::string> words;
  while (!(text = TrimBlanks(text)).empty()) {
    const size_t end = std::min(text.find_first_of(" \t\r\n"), text.size());
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

std::vector<std::string_view> SplitLines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

SysfsDirectory::SysfsDirectory(const std::string& path)
    : fd_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}

SysfsDirectory SysfsDirectory::Enter(const std::string& name) const {
  return SysfsDirectory(
      UniqueFd(exists() ? ::openat(fd_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1));
}

bool SysfsDirectory::Has(const std::string& name) const {
  struct stat status;
  return exists() && ::fstatat(fd_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
}

std::vector<std::string> SysfsDirectory::Names() const {
  std::vector<std::string> names;
  if (!exists() || ::lseek(fd_.get(), 0, SEEK_SET) != 0) return names;
  alignas(DirectoryEntry) std::array<char, 8192> buffer;
  for (long size; (size = ::syscall(SYS_getdents64, fd_.get(), buffer.data(), buffer.size())) > 0;) {
    for (long place = 0; place < size;) {
      const auto* entry = reinterpret_cast<const DirectoryEntry*>(buffer.data() + place);
      place += entry->size;
      const std::string_view name = entry->name;
      if (name == "." || name == "..") continue;
      if (names.size() == kMaxDirectoryEntries) return names;
      names.emplace_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<std::string> SysfsDirectory::Text(const std::string& name) const {
  if (!exists()) return std::nullopt;
  // Non-blocking, so that a FIFO in a strange tree cannot hold us.
  const UniqueFd file(::openat(fd_.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return std::nullopt;
  const auto text = ReadAll(file.get());
  if (!text) return std::nullopt;
  return std::string(TrimBlanks(*text));
}

std::optional<int64_t> SysfsDirectory::Number(const std::string& name) const {
  const auto text = Text(name);
  return text ? ParseNumber(*text) : std::nullopt;
}

std::optional<std::string> SysfsDirectory::Link(const std::string& name) const {
  std::array<char, PATH_MAX> target;
  const ssize_t size = exists() ? ::readlinkat(fd_.get(), name.c_str(), target.data(), target.size()) : -1;
  if (size < 0) return std::nullopt;
  return std::string(target.data(), static_cast<size_t>(size));
}

std::optional<std::string> SysfsDirectory::LinkName(const std::string& name) const {
  const auto target = Link(name);
  if (!target) return std::nullopt;
  return target->substr(target->rfind('/') + 1);  // npos + 1 is 0.
}

}  // namespace berth::host

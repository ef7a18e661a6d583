// Reading the kernel's small text files. Everything here may be missing, vanish between two calls, or hold
// nonsense; then there is no value. Reads are bounded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace berth::host {

inline constexpr size_t kMaxAttributeBytes = 256 * 1024;
inline constexpr size_t kMaxDirectoryEntries = 65536;

// A number in the kernel's notation: decimal, or hexadecimal after "0x"; blanks around it are passed over.
std::optional<int64_t> ParseNumber(std::string_view text);
// The same, hexadecimal without a prefix as well ("25b6").
std::optional<int64_t> ParseHexNumber(std::string_view text);
std::string_view TrimBlanks(std::string_view text);
// Words between blanks.
std::vector<std::string> SplitWords(std::string_view text);
std::vector<std::string_view> SplitLines(std::string_view text);

// One directory, kept open: all reads are of the same object even if its name is given to another meanwhile.
class SysfsDirectory {
 public:
  // Of a missing directory every read has no value.
  explicit SysfsDirectory(const std::string& path);
  SysfsDirectory Enter(const std::string& name) const;

  bool exists() const { return static_cast<bool>(fd_); }
  bool Has(const std::string& name) const;
  // The names in it, sorted, without "." and "..".
  std::vector<std::string> Names() const;
  // A file's text without blanks at its ends.
  std::optional<std::string> Text(const std::string& name) const;
  std::optional<int64_t> Number(const std::string& name) const;
  // The target of a symbolic link, and its last component.
  std::optional<std::string> Link(const std::string& name) const;
  std::optional<std::string> LinkName(const std::string& name) const;

 private:
  explicit SysfsDirectory(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace berth::host

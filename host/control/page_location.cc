#include "host/control/page_location.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <sstream>

#include "host/sysfs.h"

namespace berth::host {
namespace {

bool ParseHex(std::string_view text, uint64_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value, 16);
  return error == std::errc() && end == text.data() + text.size();
}

// "7f1000000000-7f1000200000 rw-s 00000000 00:01 2049    /memfd:web-memory0 (deleted)"
bool ParseLine(std::string_view line, Mapping* mapping) {
  constexpr int kFieldsBeforeName = 5;
  const std::string_view range = line.substr(0, line.find(' '));
  const size_t dash = range.find('-');
  uint64_t end = 0;
  if (dash == std::string_view::npos || !ParseHex(range.substr(0, dash), &mapping->start) ||
      !ParseHex(range.substr(dash + 1), &end) || end <= mapping->start) {
    return false;
  }
  mapping->size_bytes = end - mapping->start;
  for (int field = 0; field < kFieldsBeforeName; ++field) {
    line = line.substr(std::min(line.find(' '), line.size()));
    line = line.substr(std::min(line.find_first_not_of(' '), line.size()));
  }
  mapping->name = line;
  return true;
}

}  // namespace

std::vector<Mapping> ParseMappings(std::string_view text) {
  std::vector<Mapping> mappings;
  while (!text.empty() && mappings.size() < kMaxMappings) {
    const size_t end = std::min(text.find('\n'), text.size());
    Mapping mapping;
    if (ParseLine(text.substr(0, end), &mapping)) mappings.push_back(std::move(mapping));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return mappings;
}

Result<std::vector<Mapping>> ReadMappings(const HostRoots& roots, int pid) {
  std::ifstream file(fmt::format("{}/{}/maps", roots.proc, pid));
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return FailErrno(ESRCH, "read the mappings of process {}", pid);
  return ParseMappings(text.str());
}

Result<std::map<int, uint64_t>> CountPagesByNode(int pid, uint64_t start, uint64_t size_bytes,
                                                 uint64_t page_size_bytes) {
  const uint64_t pages = size_bytes / page_size_bytes;
  const uint64_t stride = std::max<uint64_t>((pages + kMaxLookedAt - 1) / kMaxLookedAt, 1);
  std::vector<void*> addresses;
  for (uint64_t page = 0; page < pages; page += stride)
    addresses.push_back(reinterpret_cast<void*>(start + page * page_size_bytes));
  std::vector<int> nodes(addresses.size(), -ENOENT);
  if (::syscall(SYS_move_pages, pid, addresses.size(), addresses.data(), nullptr, nodes.data(), 0) != 0)
    return FailErrno(errno, "look where the memory of process {} is", pid);
  std::map<int, uint64_t> counts;
  for (int node : nodes) {
    if (node >= 0) ++counts[node];
  }
  return counts;
}

}  // namespace berth::host

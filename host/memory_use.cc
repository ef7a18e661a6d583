#include "host/memory_use.h"

#include <map>

#include "base/bytes.h"
#include "host/sysfs.h"

namespace berth::host {
namespace {

using Values = std::map<std::string, uint64_t, std::less<>>;

// Lines of "NAME VALUE", or "NAME: VALUE kB".
Values ParseLines(const std::optional<std::string>& text) {
  Values values;
  for (std::string_view line : SplitLines(text ? std::string_view(*text) : std::string_view())) {
    std::vector<std::string> words = SplitWords(line);
    if (words.size() < 2) continue;
    const auto number = ParseNumber(words[1]);
    if (!number || *number < 0 || *number > INT64_MAX / 1024) continue;
    if (words[0].ends_with(':')) words[0].pop_back();
    values.emplace(words[0], static_cast<uint64_t>(*number) * (words.size() > 2 ? kKiB : 1));
  }
  return values;
}

uint64_t Of(const Values& values, std::string_view name) {
  const auto found = values.find(name);
  return found == values.end() ? 0 : found->second;
}

uint64_t Count(const SysfsDirectory& directory, const char* name) {
  return static_cast<uint64_t>(std::max<int64_t>(0, directory.Number(name).value_or(0)));
}

std::optional<Pressure> PressureOf(const SysfsDirectory& directory, const char* name) {
  const auto text = directory.Text(name);
  return text ? ParsePressure(*text) : std::nullopt;
}

}  // namespace

MemoryUse ReadMemoryUse(const HostRoots& roots) {
  const SysfsDirectory proc(roots.proc);
  const Values values = ParseLines(proc.Text("meminfo"));
  return {.total_bytes = Of(values, "MemTotal"),
          .available_bytes = Of(values, "MemAvailable"),
          .swap_total_bytes = Of(values, "SwapTotal"),
          .swap_free_bytes = Of(values, "SwapFree"),
          .zswapped_bytes = Of(values, "Zswapped"),
          .zswap_pool_bytes = Of(values, "Zswap"),
          .pressure = PressureOf(SysfsDirectory(roots.proc + "/pressure"), "memory")};
}

std::optional<CgroupMemory> ReadCgroupMemory(const HostRoots& roots, const std::string& path) {
  const SysfsDirectory directory(roots.cgroup + "/" + path);
  const auto current = directory.Number("memory.current");
  if (!current || *current < 0) return std::nullopt;
  const Values stat = ParseLines(directory.Text("memory.stat"));
  CgroupMemory memory{.current_bytes = static_cast<uint64_t>(*current),
                      .swapped_bytes = Count(directory, "memory.swap.current"),
                      .anonymous_bytes = Of(stat, "anon"),
                      .shared_bytes = Of(stat, "shmem"),
                      .kernel_bytes = Of(stat, "kernel"),
                      .page_table_bytes = Of(stat, "pagetables") + Of(stat, "sec_pagetables"),
                      .refaulted_pages = Of(stat, "workingset_refault_anon"),
                      .oom_kills = Of(ParseLines(directory.Text("memory.events")), "oom_kill"),
                      .pressure = PressureOf(directory, "memory.pressure")};
  const uint64_t file = Of(stat, "file");  // With shmem.
  memory.file_bytes = file - std::min(file, memory.shared_bytes);
  if (const auto limit = directory.Number("memory.max"); limit && *limit >= 0)
    memory.limit_bytes = static_cast<uint64_t>(*limit);
  return memory;
}

std::optional<CgroupCpu> ReadCgroupCpu(const HostRoots& roots, const std::string& path) {
  const SysfsDirectory directory(roots.cgroup + "/" + path);
  const auto text = directory.Text("cpu.stat");
  if (!text) return std::nullopt;
  const Values stat = ParseLines(text);
  return CgroupCpu{.used_us = Of(stat, "usage_usec"),
                   .throttled_us = Of(stat, "throttled_usec"),
                   .pressure = PressureOf(directory, "cpu.pressure")};
}

std::optional<uint64_t> ReadRunDelay(const HostRoots& roots, int pid, int tid) {
  const SysfsDirectory task(fmt::format("{}/{}/task/{}", roots.proc, pid, tid));
  const std::vector<std::string> words = SplitWords(task.Text("schedstat").value_or(""));
  if (words.size() < 2) return std::nullopt;
  const auto delay = ParseNumber(words[1]);
  if (!delay || *delay < 0) return std::nullopt;
  return static_cast<uint64_t>(*delay);
}

}  // namespace berth::host

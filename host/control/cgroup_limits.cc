#include "host/control/cgroup_limits.h"

#include <algorithm>
#include <cstring>

#include "host/sysfs.h"

namespace berth::host {
namespace {

constexpr uint32_t kLeastWeight = 1, kMostWeight = 10000;
constexpr uint64_t kLeastMillicpu = 10;  // The kernel's least quota, 1 ms, of the period below.
constexpr uint64_t kPeriodUs = 100'000;  // The kernel's default.
constexpr uint64_t kPageBytes = 4096;    // What memory limits are rounded down to.
constexpr std::chrono::milliseconds kLimitTime{5000};

// One file: what is written to it, what it then reads, and where.
struct File {
  std::string name;
  std::string written;
  std::string reads;      // The whole text, or a line of it.
  std::string read_from;  // Mostly the same file.
  bool adjustable = false;
};

std::string OrMax(uint64_t value) { return value == 0 ? "max" : std::to_string(value); }

std::vector<File> FilesOf(const CgroupLimits& limits) {
  std::vector<File> files;
  const auto add = [&](const char* name, const std::string& value, bool adjustable = false) {
    files.push_back(
        {.name = name, .written = value, .reads = value, .read_from = name, .adjustable = adjustable});
  };
  const auto add_set = [&](const char* name, const CpuSet& set) {
    // A CPU that the parent does not have is accepted, and left out of what is effective.
    if (set.empty()) return;
    add(name, set.ToString());
    files.back().read_from += ".effective";
  };
  const auto add_memory = [&](const char* name, const std::optional<uint64_t>& bytes, bool adjustable) {
    if (bytes) add(name, std::to_string(*bytes / kPageBytes * kPageBytes), adjustable);
  };
  add_set("cpuset.mems", limits.memory_nodes);
  add_set("cpuset.cpus", limits.cpus);
  if (limits.cpu_weight) add("cpu.weight", std::to_string(*limits.cpu_weight));
  if (limits.cpu_max_millicpu)
    add("cpu.max", fmt::format("{} {}", *limits.cpu_max_millicpu * kPeriodUs / 1000, kPeriodUs));
  add_memory("memory.max", limits.memory_max, false);
  add_memory("memory.high", limits.memory_high, true);
  add_memory("memory.min", limits.memory_min, false);
  add_memory("memory.low", limits.memory_low, true);
  if (limits.io_weight) {
    add("io.weight", std::to_string(*limits.io_weight));
    files.back().reads = "default " + files.back().written;
  }
  for (const IoMax& io : limits.io_max) {
    add("io.max", fmt::format("{} rbps={} wbps={} riops={} wiops={}", io.device, OrMax(io.read_bytes),
                              OrMax(io.write_bytes), OrMax(io.read_operations), OrMax(io.write_operations)));
  }
  return files;
}

bool HasLine(std::string_view text, std::string_view line) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (TrimBlanks(text.substr(0, end)) == line) return true;
    text.remove_prefix(std::min(end, text.size() - 1) + 1);
  }
  return line.empty();
}

tl::unexpected<Error> BadLimit(const char* reason, std::string message) {
  return Fail(Error(Code::kInvalidArgument, std::move(message)).Reason(reason));
}

bool IsWeight(uint32_t weight) { return weight >= kLeastWeight && weight <= kMostWeight; }

}  // namespace

Status CheckLimits(const CgroupLimits& limits) {
  if (limits.cpu_weight && !IsWeight(*limits.cpu_weight)) {
    return BadLimit("BAD_CPU_WEIGHT", fmt::format("a weight of {} is not between {} and {}",
                                                  *limits.cpu_weight, kLeastWeight, kMostWeight));
  }
  if (limits.cpu_max_millicpu && *limits.cpu_max_millicpu < kLeastMillicpu) {
    return BadLimit("BAD_CPU_MAX", fmt::format("{} thousandths of a CPU are less than {}",
                                               *limits.cpu_max_millicpu, kLeastMillicpu));
  }
  if (limits.io_weight && !IsWeight(*limits.io_weight)) {
    return BadLimit("BAD_IO_WEIGHT", fmt::format("a weight of {} is not between {} and {}", *limits.io_weight,
                                                 kLeastWeight, kMostWeight));
  }
  return Ok();
}

Status SetLimits(const HostControl& control, const std::string& path, const CgroupLimits& limits) {
  for (const File& file : FilesOf(limits)) {
    const int error = control.writer->Write(path + "/" + file.name, file.written, kLimitTime);
    const std::string actual =
        error == 0 ? SysfsDirectory(path).Text(file.read_from).value_or("missing") : std::strerror(error);
    if (error == 0 && HasLine(actual, file.reads)) continue;
    return Fail(Error(Code::kFailedPrecondition,
                      fmt::format("{} of the cgroup {} cannot be \"{}\": {}{}", file.name, path, file.written,
                                  error == 0 ? "the kernel makes it " : "", actual))
                    .Reason("CGROUP_LIMIT_NOT_HELD")
                    .With("cgroup", path)
                    .With("file", file.name)
                    .With("wanted", file.written)
                    .With("actual", actual));
  }
  return Ok();
}

std::vector<std::string> FindDifferences(const std::string& path, const CgroupLimits& limits) {
  std::vector<std::string> differences;
  for (const File& file : FilesOf(limits)) {
    if (file.adjustable) continue;
    const std::string actual = SysfsDirectory(path).Text(file.read_from).value_or("missing");
    if (!HasLine(actual, file.reads))
      differences.push_back(fmt::format("{} is {}, not {}", file.name, actual, file.reads));
  }
  return differences;
}

}  // namespace berth::host

#include "server/overcommit/settings.h"

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "host/sysfs.h"

namespace berth::server {
namespace {

constexpr SettingName kNames[] = {
    {"cpu-ratio", "vCPUs that may share a CPU, on average: 1 to 100, as 4 or 2.5"},
    {"memory-ratio", "how much more memory guests may be promised than there is: 1 to 10"},
    {"housekeeping-cpus", "CPUs that no guest gets, as 0-1,8"},
    {"dedicated-cpus", "CPUs for guests that have theirs alone"},
    {"shared-cpus", "CPUs for guests that share"},
    {"guest-nodes", "NUMA nodes for guests; all without it"},
    {"cpu-reservation-percent", "of its vCPUs' time what a guest can count on, unless it says otherwise"},
    {"cpu-limit-percent", "of its vCPUs' time what a guest gets at most; 0 for no limit"},
    {"cpu-shares", "a vCPU's weight against others: 1 to 10000"},
    {"memory-reservation-percent", "of its memory what is never taken back from a guest"},
    {"memory-limit-percent", "of its memory what a guest gets at most; 0 for no limit"},
    {"merge-pages", "whether equal pages of guests may be merged: on or off"},
    {"last-resort", "what may be done with a guest when the host runs out of memory: none, freeze or evict"},
    {"memory-autopilot", "whether berthd acts when memory runs short: on or off"},
    {"guest-memory-mib", "memory for guests in all, in MiB; 0 for the host's"},
    {"memory-available-percent", "of the host's memory what is kept available: 1 to 50"},
    {"memory-pressure-percent", "of the time what tasks may wait for memory: 1 to 100"},
    {"memory-interval-seconds", "between looks at memory and CPU time: 1 to 60"},
    {"cpu-peak-sigmas",
     "counts guests that share by what they will use at most: the mean and so many standard deviations; 0 to "
     "10, "
     "0 to count by cpu-ratio alone"},
};

// Digits of a number are few: a longer text is none of ours.
constexpr size_t kMaxNumberLength = 12;

tl::unexpected<Error> BadSetting(Code code, const Setting& setting, const std::string& message) {
  return Fail(Error(code, fmt::format("{}: {} = {}: {}", setting.origin, setting.name,
                                      setting.value.substr(0, 100), message))
                  .Reason("BAD_SETTING")
                  .With("setting", setting.name)
                  .With("origin", setting.origin));
}

const Setting* Find(const std::vector<Setting>& settings, std::string_view name) {
  const auto found = std::find_if(settings.begin(), settings.end(),
                                  [&](const Setting& setting) { return setting.name == name; });
  return found == settings.end() ? nullptr : &*found;
}

// Thousandths of "2.5"; none for what is no such number.
std::optional<int> ParseThousandths(std::string_view text) {
  if (text.empty() || text.size() > kMaxNumberLength) return std::nullopt;
  const size_t point = std::min(text.find('.'), text.size());
  int64_t value = 0;
  std::string digits(text.substr(0, point));
  std::string fraction(text.substr(std::min(point + 1, text.size())));
  if (digits.empty() || fraction.size() > 3 || (point < text.size() && fraction.empty())) return std::nullopt;
  fraction.resize(3, '0');
  digits += fraction;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool all = error == std::errc() && end == digits.data() + digits.size() && digits[0] != '-';
  if (!all || value > 1'000'000'000) return std::nullopt;
  return static_cast<int>(value);
}

class Parser {
 public:
  explicit Parser(const std::vector<Setting>& settings) : settings_(settings) {}

  Status Ratio(const char* name, int most, int* ratio) const {
    const Setting* setting = Find(settings_, name);
    if (setting == nullptr) return Ok();
    const auto value = ParseThousandths(setting->value);
    if (!value) return BadSetting(Code::kInvalidArgument, *setting, "is no number such as 4 or 2.5");
    if (*value < 1000) {
      return BadSetting(Code::kInvalidArgument, *setting,
                        "a ratio below 1 would leave a part of the host unused; to keep some for the host, "
                        "name housekeeping-cpus");
    }
    if (*value > most)
      return BadSetting(Code::kInvalidArgument, *setting, fmt::format("is more than {}", most / 1000));
    *ratio = *value;
    return Ok();
  }

  Status Number(const char* name, int* number) const {
    const Setting* setting = Find(settings_, name);
    if (setting == nullptr) return Ok();
    const auto value = ParseThousandths(setting->value);
    if (!value || *value % 1000 != 0)
      return BadSetting(Code::kInvalidArgument, *setting, "is no whole number");
    *number = *value / 1000;
    return Ok();
  }

  Status Between(const char* name, int least, int most, int* number) const {
    const Setting* setting = Find(settings_, name);
    if (setting == nullptr) return Ok();
    const std::string& text = setting->value;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
    if (error == std::errc() && end == text.data() + text.size() && *number >= least && *number <= most)
      return Ok();
    return BadSetting(Code::kInvalidArgument, *setting,
                      fmt::format("is no whole number from {} to {}", least, most));
  }

  // One of the words, by its index.
  Status Word(const char* name, std::span<const char* const> words, int* index) const {
    const Setting* setting = Find(settings_, name);
    if (setting == nullptr) return Ok();
    const auto found = std::find(words.begin(), words.end(), setting->value);
    if (found == words.end())
      return BadSetting(Code::kInvalidArgument, *setting,
                        fmt::format("is none of {}", fmt::join(words, ", ")));
    *index = static_cast<int>(found - words.begin());
    return Ok();
  }
  Status OnOff(const char* name, bool* value) const {
    static constexpr const char* kWords[] = {"off", "on"};
    int index = *value ? 1 : 0;
    TRY(Word(name, kWords, &index));
    *value = index == 1;
    return Ok();
  }

  Status Memory(MemoryPolicy* memory) const {
    TRY(OnOff("memory-autopilot", &memory->autopilot));
    TRY(Between("memory-available-percent", 1, 50, &memory->available_percent));
    TRY(Between("memory-pressure-percent", 1, 100, &memory->pressure_percent));
    TRY(Between("memory-interval-seconds", 1, 60, &memory->interval_seconds));
    int mib = 0;
    TRY(Between("guest-memory-mib", 0, kMaxGuestMemoryMib, &mib));
    memory->guest_memory_bytes = static_cast<uint64_t>(mib) * kMiB;
    return Ok();
  }

  Status Guest(GuestPolicy* guest) const {
    static constexpr const char* kLastResorts[] = {"none", "freeze", "evict"};
    TRY(Number("cpu-reservation-percent", &guest->cpu_reservation_percent));
    TRY(Number("cpu-limit-percent", &guest->cpu_limit_percent));
    TRY(Number("cpu-shares", &guest->cpu_shares));
    TRY(Number("memory-reservation-percent", &guest->memory_reservation_percent));
    TRY(Number("memory-limit-percent", &guest->memory_limit_percent));
    TRY(OnOff("merge-pages", &guest->merge_pages));
    int last_resort = 0;
    TRY(Word("last-resort", kLastResorts, &last_resort));
    guest->last_resort = static_cast<LastResort>(last_resort);
    if (const Status checked = CheckGuestPolicy(*guest); !checked) {
      return BadSetting(Code::kInvalidArgument, *Find(settings_, checked.error().field()),
                        checked.error().message());
    }
    return Ok();
  }

  Status Set(const char* name, host::CpuSet* set) const {
    const Setting* setting = Find(settings_, name);
    if (setting == nullptr) return Ok();
    auto value = host::CpuSet::Parse(setting->value);
    if (!value) return BadSetting(Code::kInvalidArgument, *setting, value.error().message());
    *set = *std::move(value);
    return Ok();
  }

  Status Disjoint(const char* name, const host::CpuSet& set, const char* other_name,
                  const host::CpuSet& other) const {
    const host::CpuSet both = set & other;
    if (both.empty()) return Ok();
    const Setting* here = Find(settings_, name);
    const Setting* there = Find(settings_, other_name);
    return BadSetting(Code::kInvalidArgument, *here,
                      fmt::format("CPUs {} are in {} ({}) too", both.ToString(), other_name, there->origin));
  }

  Result<HostPolicy> Parse() const {
    HostPolicy policy;
    TRY(Ratio("cpu-ratio", kMaxCpuRatio, &policy.cpu_ratio));
    TRY(Ratio("memory-ratio", kMaxMemoryRatio, &policy.memory_ratio));
    CpuPools& pools = policy.pools;
    TRY(Set("housekeeping-cpus", &pools.housekeeping));
    TRY(Set("dedicated-cpus", &pools.dedicated));
    TRY(Set("shared-cpus", &pools.shared));
    TRY(Disjoint("dedicated-cpus", pools.dedicated, "housekeeping-cpus", pools.housekeeping));
    TRY(Disjoint("shared-cpus", pools.shared, "housekeeping-cpus", pools.housekeeping));
    TRY(Disjoint("shared-cpus", pools.shared, "dedicated-cpus", pools.dedicated));
    TRY(Set("guest-nodes", &policy.guest_nodes));
    TRY(Guest(&policy.guest_defaults));
    TRY(Memory(&policy.memory));
    TRY(Between("cpu-peak-sigmas", 0, kMaxPeakSigmas, &policy.cpu_peak_sigmas));
    return policy;
  }

 private:
  const std::vector<Setting>& settings_;
};

}  // namespace

std::span<const SettingName> HostPolicySettings() { return kNames; }

Result<HostPolicy> ParseHostPolicy(const std::vector<Setting>& settings) { return Parser(settings).Parse(); }

Status CheckAgainstHost(const HostPolicy& policy, const std::vector<Setting>& settings,
                        const host::HostSnapshot& host) {
  const std::pair<const char*, const host::CpuSet*> sets[] = {
      {"housekeeping-cpus", &policy.pools.housekeeping},
      {"dedicated-cpus", &policy.pools.dedicated},
      {"shared-cpus", &policy.pools.shared},
  };
  for (const auto& [name, set] : sets) {
    const host::CpuSet missing = *set - host.cpus.present;
    if (missing.empty()) continue;
    return BadSetting(
        Code::kFailedPrecondition, *Find(settings, name),
        fmt::format("the host has no CPUs {}; it has {}", missing.ToString(), host.cpus.present.ToString()));
  }
  for (int node : policy.guest_nodes) {
    if (host.memory.Find(node) != nullptr) continue;
    host::CpuSet nodes;
    for (const host::NumaNode& known : host.memory.nodes) nodes.Insert(known.id);
    return BadSetting(Code::kFailedPrecondition, *Find(settings, "guest-nodes"),
                      fmt::format("the host has no NUMA node {}; it has {}", node, nodes.ToString()));
  }
  if (policy.memory.guest_memory_bytes > host.memory.total_bytes) {
    return BadSetting(Code::kFailedPrecondition, *Find(settings, "guest-memory-mib"),
                      fmt::format("the host has {}", HumanSize(host.memory.total_bytes)));
  }
  const ResolvedCpuPools pools = Resolve(policy.pools, host.cpus);
  if (!pools.dedicated.empty() || !pools.shared.empty()) return Ok();
  for (const auto& [name, set] : sets) {
    if (const Setting* setting = Find(settings, name))
      return BadSetting(Code::kFailedPrecondition, *setting, "leaves guests no CPU that is online");
  }
  return Ok();
}

std::string OriginOf(std::string_view file, std::string_view text, std::string_view name) {
  int number = 0;
  while (!text.empty()) {
    ++number;
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::string_view key = host::TrimBlanks(line.substr(0, line.find('=')));
    if (key == name && line.find('=') != std::string_view::npos) return fmt::format("{}:{}", file, number);
  }
  return std::string(file);
}

}  // namespace berth::server

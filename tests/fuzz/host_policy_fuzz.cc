// The lines of a configuration file that are the host's policy: what is accepted is a policy that can be
// kept.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "host/sysfs.h"
#include "server/overcommit/settings.h"
#include "tests/fakes/sample_host.h"

using namespace berth::server;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(bytes), size);
  std::vector<Setting> settings;
  std::set<std::string> seen;
  for (std::string_view text = all; !text.empty();) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string name(berth::host::TrimBlanks(line.substr(0, equals)));
    if (!seen.insert(name).second) continue;
    const std::string value(berth::host::TrimBlanks(line.substr(equals + 1)));
    settings.push_back({.name = name, .value = value, .origin = OriginOf("file", all, name)});
  }
  const auto policy = ParseHostPolicy(settings);
  if (!policy) {
    CHECK(!policy.error().reason().empty());
    return 0;
  }
  CHECK(policy->cpu_ratio >= 1000 && policy->cpu_ratio <= kMaxCpuRatio);
  CHECK(policy->memory_ratio >= 1000 && policy->memory_ratio <= kMaxMemoryRatio);
  CHECK(policy->memory.available_percent >= 1 && policy->memory.available_percent <= 50);
  CHECK(policy->memory.pressure_percent >= 1 && policy->memory.pressure_percent <= 100);
  CHECK(policy->memory.interval_seconds >= 1 && policy->memory.interval_seconds <= 60);
  CHECK(policy->cpu_peak_sigmas >= 0 && policy->cpu_peak_sigmas <= kMaxPeakSigmas);
  CHECK((policy->pools.dedicated & policy->pools.shared).empty());
  CHECK(CheckGuestPolicy(policy->guest_defaults).has_value());
  (void)CheckAgainstHost(*policy, settings, berth::host::SampleHost());
  return 0;
}

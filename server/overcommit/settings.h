// The host's policy as berthd's configuration file says it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "host/snapshot.h"
#include "server/overcommit/policy.h"

namespace berth::server {

struct Setting {
  std::string name;    // "cpu-ratio"
  std::string value;   // "4"
  std::string origin;  // Where it is said: "/etc/berth/berthd.ini:12", "--cpu-ratio"
};

// A setting's name and what it means, for the help.
struct SettingName {
  const char* name;
  const char* help;
};
std::span<const SettingName> HostPolicySettings();

// From settings named by HostPolicySettings; each is there at most once. INVALID_ARGUMENT BAD_SETTING, with
// the origin before the message: what is no number or list, ratios below 1, CPUs in two sets,
// CheckGuestPolicy.
Result<HostPolicy> ParseHostPolicy(const std::vector<Setting>& settings);

// FAILED_PRECONDITION BAD_SETTING, with the origin: CPUs and nodes that the host has not, and sets that leave
// guests none.
Status CheckAgainstHost(const HostPolicy& policy, const std::vector<Setting>& settings,
                        const host::HostSnapshot& host);

// "file:7" for the line that sets `name` in an INI file's text, or "file".
std::string OriginOf(std::string_view file, std::string_view text, std::string_view name);

}  // namespace berth::server

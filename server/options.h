// berthd's command line and its INI file.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "server/daemon.h"
#include "server/guest/mdev_quota.h"

namespace berth::server {

struct ProgramOptions {
  DaemonOptions daemon;
  std::string log_level;
  MdevQuotas mdev_quotas;
  std::string cgroup_parent;  // host::HostRoots::guests_cgroup.
  // To be printed instead of starting: the help or the version.
  std::optional<std::string> print;
};

// The command line goes before the file. INVALID_ARGUMENT, BAD_OPTION, for what is unknown or makes no sense;
// BAD_SETTING, with the line, for the host's policy.
Result<ProgramOptions> ParseOptions(int argc, const char* const argv[], const std::string& version);

}  // namespace berth::server

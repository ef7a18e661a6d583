// berthd: serves the guests of this host.
#include <pthread.h>
#include <signal.h>

#include <cstdio>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/log.h"
#include "host/control/sysfs_writer.h"
#include "server/daemon.h"
#include "server/guest/real_host.h"
#include "server/notify.h"
#include "server/options.h"

namespace berth::server {
namespace {

constexpr int kExitUsage = 2;

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

bool StartLog(const std::string& level) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("berthd"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %l: %v");
  spdlog::flush_on(spdlog::level::debug);
  SetLogSink([](LogLevel of, std::string_view line) {
    spdlog::log(LevelOf(of), spdlog::string_view_t(line.data(), line.size()));
  });
  spdlog::set_level(spdlog::level::debug);
  const std::pair<const char*, LogLevel> levels[] = {{"debug", LogLevel::kDebug},
                                                     {"info", LogLevel::kInfo},
                                                     {"warning", LogLevel::kWarning},
                                                     {"error", LogLevel::kError}};
  for (const auto& [name, least] : levels) {
    if (level != name) continue;
    SetLogLevel(least);
    return true;
  }
  return false;
}

int Main(int argc, char* argv[]) {
  auto options = ParseOptions(argc, argv, BERTH_VERSION);
  if (!options) {
    std::fprintf(stderr, "berthd: %s\n", options.error().message().c_str());
    return kExitUsage;
  }
  if (options->print) return std::fputs(options->print->c_str(), stdout) < 0;
  if (!StartLog(options->log_level)) {
    std::fprintf(stderr, "berthd: no log level \"%s\"\n", options->log_level.c_str());
    return kExitUsage;
  }

  // Before there are threads: these signals are waited for, here.
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  ::signal(SIGPIPE, SIG_IGN);

  const std::unique_ptr<host::SysfsWriter> writer = host::CreateSysfsWriter();
  options->daemon.control.writer = writer.get();
  options->daemon.control.roots.guests_cgroup = options->cgroup_parent;
  auto daemon = StartDaemon(options->daemon, CreateRealHost(host::HostControl(options->daemon.control),
                                                            net::CreateVfPort(), options->mdev_quotas));
  if (!daemon) {
    LOG_ERROR("{}", daemon.error().ToString());
    return 1;
  }
  LOG_INFO("berthd {} serves {} {}", BERTH_VERSION, options->daemon.listen.socket_path,
           options->daemon.listen.tcp_address);
  NotifyServiceManager("READY=1");
  int signal = 0;
  ::sigwait(&ending, &signal);
  LOG_INFO("ending; guests run on");
  NotifyServiceManager("STOPPING=1");
  (*daemon)->Shutdown();
  return 0;
}

}  // namespace
}  // namespace berth::server

int main(int argc, char* argv[]) { return berth::server::Main(argc, argv); }

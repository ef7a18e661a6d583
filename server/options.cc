#include "server/options.h"

#include <fstream>
#include <sstream>

#include <boost/program_options.hpp>

#include "server/overcommit/settings.h"
#include "server/volume/pools.h"

namespace berth::server {
namespace {

namespace po = boost::program_options;

constexpr char kDefaultConfig[] = "/etc/berth/berthd.ini";

// As texts: server/overcommit reads them, and says where a wrong one is.
void DescribeHostPolicy(po::options_description& options) {
  for (const SettingName& setting : HostPolicySettings())
    options.add_options()(setting.name, po::value<std::string>(), setting.help);
}

// Those that may be given again, as texts.
struct Lists {
  std::vector<std::string> quotas, pools, pool_ratios;
  std::string lvm;
};

po::options_description Describe(ProgramOptions& program, Lists& lists) {
  DaemonOptions& daemon = program.daemon;
  po::options_description options("Options, also as lines of the configuration file");
  const auto text = [](std::string& value, const char* by_default) {
    return po::value(&value)->default_value(by_default);
  };
  options.add_options()  //
      ("socket", text(daemon.listen.socket_path, "/run/berth/berthd.sock"),
       "Unix socket to serve; empty for none")  //
      ("socket-group", text(daemon.listen.socket_group, ""),
       "group whose members may use the socket: they are as "
       "good as root")                                                                                 //
      ("tcp", text(daemon.listen.tcp_address, ""), "TCP address to serve as well, as 127.0.0.1:7000")  //
      ("tls-certificate", text(daemon.listen.certificate_path, ""), "PEM file, for TCP")               //
      ("tls-key", text(daemon.listen.key_path, ""), "PEM file, for TCP")                               //
      ("tls-client-ca", text(daemon.listen.client_ca_path, ""),
       "PEM file of the authority of callers' certificates")                                        //
      ("state-dir", text(daemon.state_dir, "/var/lib/berth"), "where guests are kept")              //
      ("runtime-dir", text(daemon.runtime_dir, "/run/berth"), "where running guests' sockets are")  //
      ("vmm", text(daemon.vmm_program, "/usr/libexec/berth/berth-vmm"), "the monitor")              //
      ("first-user", po::value(&daemon.first_user)->default_value(1'900'000'000),
       "user ids from here on are guests'")  //
      ("sandbox", po::value(&daemon.sandbox)->default_value(true),
       "whether monitors filter their system calls")  //
      ("empty-root", po::value(&daemon.confinement.empty_root)->default_value(true),
       "whether monitors see an empty file system; they must be linked statically")  //
      ("mdev-quota", po::value(&lists.quotas)->composing(),
       "TYPE=COUNT: the host has at most so many mediated devices, or vGPUs, of the type; may be given "
       "again")  //
      ("pool", po::value(&lists.pools)->composing(),
       "NAME=DIRECTORY: a pool of volumes, whose directory root alone may write to; or "
       "NAME=lvm-thin:GROUP/POOL, in a thin pool of LVM's; may be given again")      //
      ("lvm", text(lists.lvm, LvmThinSettings().program.c_str()), "lvm2's program")  //
      ("pool-overcommit", po::value(&lists.pool_ratios)->composing(),
       "NAME=RATIO: the pool's volumes may be so many times as large together as what it is in; without it "
       "there "
       "is no limit; may be given again")  //
      ("cgroup-parent", text(program.cgroup_parent, "berth"),
       "what guests' cgroups are made in, below the hierarchy's mount; one with a / in it is there already "
       "and delegated, as system.slice/berth-guests.service")                          //
      ("log-level", text(program.log_level, "info"), "debug, info, warning or error")  //
      ("trace", po::value(&daemon.trace_patterns)->composing(),
       "trace events to log, here and in monitors, as 'hw/virtio/*'; may be given again");
  DescribeHostPolicy(options);
  return options;
}

tl::unexpected<Error> BadOption(const std::string& message) {
  return Fail(Error(Code::kInvalidArgument, message).Reason("BAD_OPTION"));
}

// "berth", "system.slice/berth-guests.service".
bool IsBelowMount(const std::string& path) {
  constexpr size_t kMaxLength = 1024;
  if (path.empty() || path.size() > kMaxLength || path.back() == '/') return false;
  return ("/" + path + "/").find("//") == std::string::npos &&
         ("/" + path + "/").find("/.") == std::string::npos;
}

// What was said of the host's policy, and where: the file's text is what the options were read from, after
// those of the command line.
std::vector<Setting> PolicySettingsOf(const po::variables_map& values, const po::variables_map& command_line,
                                      const std::string& path, const std::string& text) {
  std::vector<Setting> settings;
  for (const SettingName& setting : HostPolicySettings()) {
    if (values.count(setting.name) == 0) continue;
    const bool from_line = command_line.count(setting.name) != 0;
    settings.push_back(
        {.name = setting.name,
         .value = values[setting.name].as<std::string>(),
         .origin = from_line ? fmt::format("--{}", setting.name) : OriginOf(path, text, setting.name)});
  }
  return settings;
}

}  // namespace

Result<ProgramOptions> ParseOptions(int argc, const char* const argv[], const std::string& version) {
  ProgramOptions result;
  result.daemon.version = version;
  std::string config;
  Lists lists;
  po::options_description file_options = Describe(result, lists);
  po::options_description all("berthd: serves the guests of this host\n\nOptions");
  all.add_options()("help,h", "this")("version", "the version")(
      "config,c", po::value(&config),
      fmt::format("configuration file; {} if it is there", kDefaultConfig).c_str());
  all.add(file_options);
  // Boost reports by exceptions; they end here.
  try {
    po::variables_map values;
    po::store(po::command_line_parser(argc, argv).options(all).positional({}).run(), values);
    if (values.count("help") != 0) {
      std::ostringstream text;
      text << all;
      result.print = text.str();
      return result;
    }
    if (values.count("version") != 0) {
      result.print = "berthd " + version + "\n";
      return result;
    }
    const bool named = values.count("config") != 0;
    const std::string path = named ? values["config"].as<std::string>() : kDefaultConfig;
    std::ifstream file(path);
    if (named && !file) return BadOption(fmt::format("{} cannot be read", path));
    const po::variables_map command_line = values;
    std::stringstream text;
    if (file) {
      text << file.rdbuf();
      po::store(po::parse_config_file(text, file_options), values);
    }
    po::notify(values);
    result.daemon.policy_settings = PolicySettingsOf(values, command_line, path, text.str());
    result.daemon.policy = TRY(ParseHostPolicy(result.daemon.policy_settings));
    result.daemon.pools = TRY(ParsePools(lists.pools, lists.pool_ratios, lists.lvm));
    result.mdev_quotas = TRY(ParseMdevQuotas(lists.quotas));
  } catch (const po::error& error) {
    return BadOption(error.what());
  }
  if (!IsBelowMount(result.cgroup_parent))
    return BadOption(fmt::format("cgroup-parent: \"{}\" is no path below a mount", result.cgroup_parent));
  if (result.daemon.listen.socket_path.empty() && result.daemon.listen.tcp_address.empty()) {
    return BadOption("neither a socket nor a TCP address to serve");
  }
  return result;
}

}  // namespace berth::server

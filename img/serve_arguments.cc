#include <cstdlib>
#include <limits>

#include "block/nbd/protocol.h"
#include "block/options.h"
#include "hw/virtio/block.h"
#include "img/object.h"
#include "img/serve.h"

namespace berth::img {
namespace {

template <typename... Args>
[[noreturn]] void Die(fmt::format_string<Args...> format, Args&&... args) {
  Complain(format, std::forward<Args>(args)...);
  std::exit(1);
}

enum ServeOption : int {
  kCache = 1000,
  kAio,
  kDiscard,
  kDetectZeroes,
  kObject,
  kImageOpts,
  kTlsCreds,
  kTlsHostname,
  kTlsAuthz,
  kFork,
  kPidFile,
  kHandshakeLimit,
  kVhostUser,
  kNumQueues,
};

const option kLongOptions[] = {
    {"help", no_argument, nullptr, 'h'},
    {"version", no_argument, nullptr, 'V'},
    {"bind", required_argument, nullptr, 'b'},
    {"port", required_argument, nullptr, 'p'},
    {"socket", required_argument, nullptr, 'k'},
    {"offset", required_argument, nullptr, 'o'},
    {"read-only", no_argument, nullptr, 'r'},
    {"allocation-depth", no_argument, nullptr, 'A'},
    {"bitmap", required_argument, nullptr, 'B'},
    {"connect", required_argument, nullptr, 'c'},
    {"disconnect", no_argument, nullptr, 'd'},
    {"list", no_argument, nullptr, 'L'},
    {"snapshot", no_argument, nullptr, 's'},
    {"load-snapshot", required_argument, nullptr, 'l'},
    {"nocache", no_argument, nullptr, 'n'},
    {"cache", required_argument, nullptr, kCache},
    {"aio", required_argument, nullptr, kAio},
    {"discard", required_argument, nullptr, kDiscard},
    {"detect-zeroes", required_argument, nullptr, kDetectZeroes},
    {"shared", required_argument, nullptr, 'e'},
    {"format", required_argument, nullptr, 'f'},
    {"persistent", no_argument, nullptr, 't'},
    {"verbose", no_argument, nullptr, 'v'},
    {"object", required_argument, nullptr, kObject},
    {"export-name", required_argument, nullptr, 'x'},
    {"description", required_argument, nullptr, 'D'},
    {"tls-creds", required_argument, nullptr, kTlsCreds},
    {"tls-hostname", required_argument, nullptr, kTlsHostname},
    {"tls-authz", required_argument, nullptr, kTlsAuthz},
    {"image-opts", no_argument, nullptr, kImageOpts},
    {"trace", required_argument, nullptr, 'T'},
    {"fork", no_argument, nullptr, kFork},
    {"pid-file", required_argument, nullptr, kPidFile},
    {"handshake-limit", required_argument, nullptr, kHandshakeLimit},
    {"vhost-user", no_argument, nullptr, kVhostUser},
    {"num-queues", required_argument, nullptr, kNumQueues},
    {},
};

constexpr std::string_view kHelp = R"(Serves a disk image to NBD clients, or to a virtual machine.

  -p, --port=PORT          TCP port (10809)                -b, --bind=ADDRESS     address to listen at (0.0.0.0)
  -k, --socket=PATH        listen at a Unix socket         -e, --shared=NUM       connections at once (1; 0: many)
  -t, --persistent         stay when the last client goes  -x, --export-name=NAME name of the export (empty)
  -D, --description=TEXT   a text for those who list       -o, --offset=OFFSET    begin there
  -A, --allocation-depth   tell how deep in the chain data are
  -B, --bitmap=NAME        offer a persistent dirty bitmap
  -L, --list               list what another server exports
  -f, --format=FORMAT      of the image                    -r, --read-only
  -n, --nocache            as --cache=none                 --cache=MODE           none, writeback, writethrough, …
  --aio=MODE, --discard=MODE, --detect-zeroes=off          --image-opts           the file is a list of options
  --object=TYPE,id=ID,…    TLS credentials                 --tls-creds=ID         which of them to use
  --tls-hostname=NAME      whose certificate -L expects    --handshake-limit=SECONDS
  --vhost-user             to a virtual machine, as a virtio-blk device (with -k); one at a time
  --num-queues=NUM         of that device (1)
  --fork                   go on in the background         --pid-file=PATH
  -v, --verbose            -h, --help                      -V, --version

Sockets handed over by the service manager (LISTEN_FDS) are served instead of those named here.
)";

uint64_t Number(const char* text, uint64_t most, std::string_view what) {
  const auto number = block::ParseNumber(text);
  if (!number || *number > most) Die("Invalid {} '{}'", what, text);
  return *number;
}

void TakeCache(std::string_view mode, bool* seen, block::OpenFlags* flags) {
  if (std::exchange(*seen, true)) Die("-n and --cache can only be specified once");
  if (!ParseCache(mode, flags)) Die("Invalid cache mode `{}'", mode);
}

// How the kernel is asked is chosen by what the kernel can.
void CheckChoice(std::string_view value, std::initializer_list<std::string_view> known,
                 std::string_view complaint) {
  for (const std::string_view one : known) {
    if (value == one) return;
  }
  Complain(complaint);
  std::exit(1);
}

class Parser {
 public:
  ServeArguments Run(int argc, char** argv);

 private:
  void Take(int found);
  void CheckAll(std::span<char* const> rest);
  void CheckVhostUser() const;

  ServeArguments got_;
  const char* argv0_ = "";
  bool cache_seen_ = false;
  std::string device_;
};

void Parser::Take(int found) {
  switch (found) {
    case 'h':
      fmt::print("usage: {} [options] FILE\n       {} -L [options]\n{}", ProgramName(), ProgramName(), kHelp);
      std::exit(0);
    case 'V':
      fmt::print("{} {}\n", ProgramName(), Version());
      std::exit(0);
    case 'b':
      got_.bind_address = ::optarg;
      break;
    case 'p':
      got_.port = ::optarg;
      break;
    case 'k':
      got_.socket = ::optarg;
      if (::optarg[0] != '/') Die("socket path must be absolute");
      break;
    case 'o':
      got_.offset = Number(::optarg, INT64_MAX, "offset");
      break;
    case 'l':
      Die("internal snapshots cannot be served: convert the snapshot to an image of its own first");
    case 's':
      Die("temporary snapshots are not made: create an overlay with 'create -b' and serve that");
    case 'r':
      got_.read_only = true;
      break;
    case 'A':
      got_.allocation_depth = true;
      break;
    case 'B':
      got_.bitmaps.emplace_back(::optarg);
      break;
    case 'c':
      device_ = ::optarg;
      break;
    case 'd':
      Die("kernel devices are disconnected by who connected them: nbd-client -d");
    case 'L':
      got_.list = true;
      break;
    case 'n':
      TakeCache("none", &cache_seen_, &got_.flags);
      break;
    case kCache:
      TakeCache(::optarg, &cache_seen_, &got_.flags);
      break;
    case kAio:
      CheckChoice(::optarg, {"threads", "native", "io_uring"},
                  fmt::format("Invalid aio mode '{}'", ::optarg));
      break;
    case kDiscard:
      CheckChoice(::optarg, {"ignore", "off", "unmap", "on"},
                  fmt::format("Invalid discard mode `{}'", ::optarg));
      got_.flags.discard_unmap = ::optarg == std::string_view("unmap") || ::optarg == std::string_view("on");
      break;
    case kDetectZeroes:
      CheckChoice(::optarg, {"off", "on", "unmap"},
                  fmt::format("Failed to parse detect_zeroes mode: invalid parameter value: {}", ::optarg));
      break;
    case 'e':
      got_.shared = Number(::optarg, std::numeric_limits<int>::max(), "shared device number");
      break;
    case 'f':
      got_.source.format = ::optarg;
      break;
    case 't':
      got_.persistent = true;
      break;
    case 'v':
      got_.verbose = true;
      break;
    case kObject:
      if (!DefineObject(::optarg)) std::exit(1);
      break;
    case 'x':
      got_.name = ::optarg;
      break;
    case 'D':
      got_.description = ::optarg;
      break;
    case kTlsCreds:
      got_.tls_id = ::optarg;
      break;
    case kTlsHostname:
      got_.tls_hostname = ::optarg;
      break;
    case kTlsAuthz:
      Die("there are no authorization objects: whoever has a certificate of the authority may enter");
    case kImageOpts:
      got_.source.is_options = true;
      break;
    case 'T':
      break;
    case kFork:
      got_.fork = true;
      break;
    case kPidFile:
      got_.pid_file = ::optarg;
      break;
    case kHandshakeLimit:
      got_.handshake_seconds = static_cast<int>(Number(::optarg, 86'400, "handshake limit"));
      break;
    case kVhostUser:
      got_.vhost_user = true;
      break;
    case kNumQueues:
      got_.queues = static_cast<uint16_t>(Number(::optarg, hw::kMaxBlockQueues, "number of queues"));
      break;
    default:
      Complain("Try `{} --help' for more information.", argv0_);
      std::exit(1);
  }
}

void Parser::CheckVhostUser() const {
  if (got_.socket.empty()) Die("--vhost-user needs the socket's path: -k");
  if (got_.queues == 0) Die("a device has one queue at least");
  if (got_.shared != 1) Die("a virtio device has one virtual machine: --vhost-user does not go with -e");
  if (!got_.tls_id.empty() || !got_.name.empty() || !got_.description.empty() || !got_.bitmaps.empty() ||
      got_.allocation_depth)
    Die("names, descriptions, bitmaps, depths and TLS are NBD's: they do not go with --vhost-user");
}

void Parser::CheckAll(std::span<char* const> rest) {
  const bool settings = got_.offset != 0 || got_.allocation_depth || !got_.bitmaps.empty() ||
                        !device_.empty() || !got_.description.empty();
  if (got_.list) {
    if (!rest.empty()) Die("List mode is incompatible with a file name");
    if (settings) Die("List mode is incompatible with per-device settings");
    return;
  }
  if (!device_.empty()) {
    Die("'{}' cannot be connected: this server has no part in the kernel; serve a socket with -k and attach "
        "it with "
        "nbd-client",
        device_);
  }
  if (rest.size() != 1) {
    Complain("Invalid number of arguments");
    fmt::print(stderr, "Try `{} --help' for more information.\n", argv0_);
    std::exit(1);
  }
  if (got_.vhost_user) CheckVhostUser();
  if (got_.name.size() > block::nbd::kMaxStringBytes) Die("export name '{}' too long", got_.name);
  if (got_.description.size() > block::nbd::kMaxStringBytes)
    Die("description '{}' too long", got_.description);
  got_.source.name = rest[0];
}

ServeArguments Parser::Run(int argc, char** argv) {
  ::optind = 1;
  argv0_ = argv[0];
  int found = 0;
  while ((found = ::getopt_long(argc, argv, "hVb:o:p:k:rsnc:dvAB:Le:f:tl:x:T:D:", kLongOptions, nullptr)) !=
         -1) {
    Take(found);
  }
  CheckAll({argv + ::optind, static_cast<size_t>(argc - ::optind)});
  return std::move(got_);
}

}  // namespace

ServeArguments ParseServeArguments(int argc, char** argv) { return Parser().Run(argc, argv); }

}  // namespace berth::img

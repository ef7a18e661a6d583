#include "img/serve.h"

#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "base/log.h"
#include "block/format_image.h"
#include "block/nbd/address.h"
#include "block/nbd/client_handshake.h"
#include "block/nbd/protocol.h"
#include "block/nbd/server.h"
#include "block/nbd/tls.h"
#include "block/open.h"
#include "block/raw.h"

namespace berth::img {
namespace {

namespace nbd = block::nbd;

constexpr int kBacklog = 128;
constexpr int kFirstPassedFd = 3;  // sd_listen_fds(3)

// Sockets that the service manager has opened; a number of 0 if it has none for this process.
int PassedSockets() {
  const char* const pid = std::getenv("LISTEN_PID");
  const char* const count = std::getenv("LISTEN_FDS");
  if (pid == nullptr || count == nullptr || std::atoi(pid) != ::getpid()) return 0;
  return std::clamp(std::atoi(count), 0, 16);
}

Result<UniqueFd> ListenUnix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Fail(Code::kInvalidArgument, "UNIX socket path '{}' is too long", path);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return FailErrno(errno, "Failed to create Unix socket");
  // Of a server that is gone.
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) ::unlink(path.c_str());
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return FailErrno(errno, "Failed to bind socket to {}", path);
  }
  if (::listen(fd.get(), kBacklog) != 0) return FailErrno(errno, "Failed to listen on socket");
  return fd;
}

Result<std::vector<UniqueFd>> ListenTcp(const std::string& host, const std::string& port) {
  const std::string shown = fmt::format("{}:{}", host.empty() ? "0.0.0.0" : host, port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  if (host.empty()) hints.ai_family = AF_INET;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
  if (failed != 0) {
    return Fail(Code::kNotFound, "address resolution failed for {}: {}", shown, ::gai_strerror(failed));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(found, &::freeaddrinfo);
  std::vector<UniqueFd> listeners;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    UniqueFd fd(::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, one->ai_protocol));
    if (!fd) return FailErrno(errno, "Failed to create a socket");
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (one->ai_family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (::bind(fd.get(), one->ai_addr, one->ai_addrlen) != 0) {
      return FailErrno(errno, "Failed to find an available port");
    }
    if (::listen(fd.get(), kBacklog) != 0) return FailErrno(errno, "Failed to listen on socket");
    listeners.push_back(std::move(fd));
  }
  return listeners;
}

Result<std::vector<UniqueFd>> Listeners(const ServeArguments& arguments) {
  std::vector<UniqueFd> listeners;
  if (const int passed = PassedSockets(); passed != 0) {
    for (int i = 0; i < passed; ++i) {
      UniqueFd fd(kFirstPassedFd + i);
      ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
      ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
      listeners.push_back(std::move(fd));
    }
    return listeners;
  }
  if (arguments.socket.empty()) return ListenTcp(arguments.bind_address, arguments.port);
  listeners.push_back(TRY(ListenUnix(arguments.socket)));
  return listeners;
}

Result<std::unique_ptr<block::FormatImage>> OpenImage(const ServeArguments& arguments) {
  block::OpenFlags flags = arguments.flags;
  flags.writable = !arguments.read_only;
  auto image = TRY(Context(OpenQuietly(arguments.source, flags),
                           fmt::format("Failed to blk_new_open '{}'", arguments.source.name)));
  if (arguments.offset != 0 || dynamic_cast<block::FormatImage*>(image.get()) == nullptr) {
    if (arguments.offset > image->size_bytes()) {
      return Fail(Code::kOutOfRange, "Failed to open the image at offset {}: it has {} bytes",
                  arguments.offset, image->size_bytes());
    }
    const std::string driver = image->driver(), filename = image->filename();
    auto window = TRY(block::CreateRawImage(
        std::move(image), {.offset_bytes = arguments.offset, .read_only = arguments.read_only}));
    window->SetIdentity(driver, filename);
    return std::unique_ptr<block::FormatImage>(std::move(window));
  }
  return std::unique_ptr<block::FormatImage>(static_cast<block::FormatImage*>(image.release()));
}

// The parent waits for this end of a pipe until the child serves, or has said why not.
class Daemon {
 public:
  // In the child it returns; the parent ends with the child's status.
  Status Fork() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return FailErrno(errno, "Failed to make a pipe");
    ready_.Reset(fds[1]);
    const UniqueFd wait(fds[0]);
    const pid_t child = ::fork();
    if (child < 0) return FailErrno(errno, "Failed to fork");
    if (child == 0) {
      ::setsid();
      return Ok();
    }
    ready_.Reset();
    char byte = 1;
    const bool up = ::read(wait.get(), &byte, 1) == 1;
    ::_exit(up ? 0 : 1);
  }
  void Ready() {
    if (!ready_) return;
    const UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
    for (int fd = 0; fd < 3; ++fd) ::dup2(nothing.get(), fd);
    (void)!::write(ready_.get(), "", 1);
    ready_.Reset();
  }

 private:
  UniqueFd ready_;
};

Status WritePid(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) return FailErrno(errno, "Could not create '{}'", path);
  const std::string line = fmt::format("{}\n", ::getpid());
  if (::write(fd.get(), line.data(), line.size()) < 0) return FailErrno(errno, "Could not write '{}'", path);
  return Ok();
}

// Goes when this process does.
struct FileOfOurs {
  std::string path;
  ~FileOfOurs() {
    if (!path.empty()) ::unlink(path.c_str());
  }
};

Status Serve(const ServeArguments& arguments) {
  ::signal(SIGPIPE, SIG_IGN);
  Daemon daemon;
  nbd::ServerOptions options{.what = {.name = arguments.name,
                                      .description = arguments.description,
                                      .read_only = arguments.read_only,
                                      .multi_conn = arguments.shared != 1,
                                      .allocation_depth = arguments.allocation_depth},
                             .max_connections = arguments.shared,
                             .handshake_seconds = arguments.handshake_seconds};
  if (!arguments.tls_id.empty()) {
    options.what.tls =
        TRY(Context(nbd::FindTlsCredentials(arguments.tls_id, true), "Failed to get TLS creds"));
  }
  if (arguments.shared != 1) options.loops = std::max(1u, std::thread::hardware_concurrency());
  if (arguments.fork) TRY(daemon.Fork());

  std::vector<UniqueFd> listeners = TRY(Listeners(arguments));
  const FileOfOurs socket{PassedSockets() == 0 ? arguments.socket : ""};
  FileOfOurs pid_file;
  auto image = TRY(OpenImage(arguments));
  for (const std::string& name : arguments.bitmaps) {
    // In the order in which qemu-nbd lists them.
    options.what.bitmaps.insert(options.what.bitmaps.begin(),
                                TRY(nbd::FindBitmap(image.get(), name, arguments.read_only)));
  }
  auto loop = TRY(EventLoop::Create());
  sigset_t stop;
  ::sigemptyset(&stop);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&stop, signal);
  ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  const UniqueFd signals(::signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return FailErrno(errno, "watch for signals");
  TRY(loop->Watch(signals.get(), EPOLLIN, [&](uint32_t) { loop->Stop(); }));
  const auto ready = [&]() -> Status {
    if (!arguments.pid_file.empty()) {
      TRY(WritePid(arguments.pid_file));
      pid_file.path = arguments.pid_file;
    }
    daemon.Ready();
    return Ok();
  };
  if (arguments.vhost_user)
    return ServeVhostUser(loop.get(), std::move(listeners[0]), std::move(image), arguments, ready);
  auto server = TRY(nbd::Server::Create(loop.get(), std::move(image), std::move(options), [&] {
    if (!arguments.persistent) loop->Stop();
  }));
  for (UniqueFd& listener : listeners) TRY(server->Listen(std::move(listener)));
  TRY(ready());
  loop->Run();
  return Ok();
}

std::string FlagNames(uint16_t flags) {
  static constexpr std::pair<uint16_t, std::string_view> kNames[] = {{nbd::kFlagReadOnly, "readonly"},
                                                                     {nbd::kFlagSendFlush, "flush"},
                                                                     {nbd::kFlagSendFua, "fua"},
                                                                     {nbd::kFlagRotational, "rotational"},
                                                                     {nbd::kFlagSendTrim, "trim"},
                                                                     {nbd::kFlagSendWriteZeroes, "zeroes"},
                                                                     {nbd::kFlagSendDf, "df"},
                                                                     {nbd::kFlagCanMultiConn, "multi"},
                                                                     {nbd::kFlagSendResize, "resize"},
                                                                     {nbd::kFlagSendCache, "cache"},
                                                                     {nbd::kFlagSendFastZero, "fast-zero"}};
  std::string names;
  for (const auto& [flag, name] : kNames) {
    if ((flags & flag) != 0) names += fmt::format(" {}", name);
  }
  return names;
}

void PrintExport(const nbd::ExportInfo& one) {
  fmt::print(" export: '{}'\n", one.name);
  if (!one.description.empty()) fmt::print("  description: {}\n", one.description);
  if ((one.flags & nbd::kFlagHasFlags) == 0) return;
  fmt::print("  size:  {}\n  flags: {:#x} ({} )\n", one.size_bytes, one.flags, FlagNames(one.flags));
  if (one.min_block_bytes != 0) {
    fmt::print("  min block: {}\n  opt block: {}\n  max block: {}\n", one.min_block_bytes,
               one.preferred_block_bytes, one.max_block_bytes);
  }
  if (one.contexts.empty()) return;
  fmt::print("  available meta contexts: {}\n", one.contexts.size());
  for (const std::string& context : one.contexts) fmt::print("   {}\n", context);
}

Status List(const ServeArguments& arguments) {
  const nbd::Address address{.path = arguments.socket,
                             .host = arguments.bind_address.empty() ? "0.0.0.0" : arguments.bind_address,
                             .port = arguments.port};
  nbd::HandshakeOptions options{.tls_hostname = arguments.tls_hostname};
  if (options.tls_hostname.empty()) options.tls_hostname = arguments.bind_address;
  if (!arguments.tls_id.empty()) {
    options.tls = TRY(Context(nbd::FindTlsCredentials(arguments.tls_id, false), "Failed to get TLS creds"));
  }
  const auto all = TRY(nbd::ListExports(nbd::CreateChannel(TRY(nbd::Connect(address))), options));
  fmt::print("exports available: {}\n", all.size());
  for (const nbd::ExportInfo& one : all) PrintExport(one);
  return Ok();
}

}  // namespace

int Serve(int argc, char** argv) {
  const ServeArguments arguments = ParseServeArguments(argc, argv);
  if (!arguments.verbose) SetLogLevel(LogLevel::kError);
  const Status done = arguments.list ? List(arguments) : Serve(arguments);
  if (done) return 0;
  Complain(done.error().message());
  return 1;
}

}  // namespace berth::img

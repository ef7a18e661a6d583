#include "block/nbd/server.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/log.h"
#include "base/mutex.h"
#include "block/engine.h"
#include "block/image_node.h"
#include "block/nbd/connection.h"
#include "block/nbd/server_handshake.h"
#include "block/page_cache_engine.h"
#include "block/shared_image.h"

namespace berth::block::nbd {
namespace {

// A client that sends the next request when it has the reply does so within this time, if it need not be
// waited for.
constexpr std::chrono::microseconds kSpin{20};

// Of a socket, so that a large request is no conversation of many turns.
constexpr int kSocketBufferBytes = 4 << 20;

// Signals are for the threads that expect them.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

void Tune(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  for (const auto& [force, plain] :
       {std::pair(SO_SNDBUFFORCE, SO_SNDBUF), std::pair(SO_RCVBUFFORCE, SO_RCVBUF)}) {
    if (::setsockopt(socket, SOL_SOCKET, force, &kSocketBufferBytes, sizeof(int)) != 0) {
      ::setsockopt(socket, SOL_SOCKET, plain, &kSocketBufferBytes, sizeof(int));
    }
  }
}

}  // namespace

// A thread with an event loop, a node of the image's, and the connections that are served by them; and a
// second thread for what blocks.
class Server::Loop {
 public:
  static Result<std::unique_ptr<Loop>> Create(Server* server) {
    std::unique_ptr<Loop> loop(new Loop(server, TRY(EventLoop::Create())));
    loop->loop_->SpinFor(kSpin);
    loop->engine_ = CreatePageCacheEngine(TRY(CreateIoEngine(loop->loop_.get())));
    loop->node_ = TRY(CreateImageNode(loop->loop_.get(), loop->engine_.get(), ShareImage(server->image_)));
    const SignalsBlocked blocked;
    loop->thread_ = std::thread([raw = loop.get()] {
      ::pthread_setname_np(::pthread_self(), "nbd");
      raw->loop_->Run();
    });
    loop->blocking_thread_ = std::thread([raw = loop.get()] { raw->RunBlocking(); });
    return loop;
  }

  ~Loop() {
    if (thread_.joinable()) {
      loop_->Call([this] {
        for (const auto& connection : connections_) connection->Stop();
        node_->Drain();
      });
      {
        MutexLock lock(mutex_);
        stopping_ = true;
      }
      work_.notify_all();
      blocking_thread_.join();
      loop_->Stop();
      thread_.join();
    }
    if (node_) node_->Drain();
    connections_.clear();
  }

  void Add(ServerSession session) {
    auto shared = std::make_shared<ServerSession>(std::move(session));
    loop_->Post([this, shared] { Start(std::move(*shared)); });
  }

 private:
  Loop(Server* server, std::unique_ptr<EventLoop> loop) : server_(server), loop_(std::move(loop)) {}

  void Start(ServerSession session) {
    const auto place = connections_.emplace(connections_.end());
    *place = std::make_unique<Connection>(
        loop_.get(), node_.get(), &server_->options_.what,
        [this](std::function<void()> work, std::function<void()> done) {
          {
            MutexLock lock(mutex_);
            tasks_.push_back({std::move(work), std::move(done)});
          }
          work_.notify_one();
        },
        std::move(session), [this, place] { loop_->Post([this, place] { End(place); }); });
    if (const Status started = (*place)->Start(); !started) {
      LOG_WARNING_LIMITED("NBD: {}", started.error().message());
      End(place);
    }
  }

  void End(std::list<std::unique_ptr<Connection>>::iterator place) {
    connections_.erase(place);
    server_->Post([](Server* server) { server->Ended(); });
  }

  void RunBlocking() {
    while (true) {
      Task task;
      {
        MutexLock lock(mutex_);
        while (tasks_.empty() && !stopping_) lock.Wait(work_);
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task.work();
      loop_->Post(std::move(task.done));
    }
  }

  struct Task {
    std::function<void()> work, done;
  };

  Server* const server_;
  const std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<IoEngine> engine_;
  std::unique_ptr<BlockNode> node_;
  std::list<std::unique_ptr<Connection>> connections_;  // Loop thread.
  std::thread thread_, blocking_thread_;
  Mutex mutex_;
  std::condition_variable work_;
  std::deque<Task> tasks_ GUARDED_BY(mutex_);  // At most kMaxJobs a connection.
  bool stopping_ GUARDED_BY(mutex_) = false;
};

struct Server::Handshake {
  std::thread thread;
  int socket = -1;  // Borrowed, to wake the thread with.
  Result<ServerSession> result = Fail(Code::kCancelled, "not yet");
};

Server::Server(EventLoop* main, std::shared_ptr<FormatImage> image, ServerOptions options,
               std::function<void()> idle)
    : main_(main),
      image_(std::move(image)),
      options_([&] {
        options.what.image = image_.get();
        if (options.max_connections == 0) options.max_connections = kMaxConnections;
        return std::move(options);
      }()),
      idle_(std::move(idle)) {}

Result<std::unique_ptr<Server>> Server::Create(EventLoop* main, std::shared_ptr<FormatImage> image,
                                               ServerOptions options, std::function<void()> idle) {
  std::unique_ptr<Server> server(new Server(main, std::move(image), std::move(options), std::move(idle)));
  TRY(server->Start());
  return server;
}

Status Server::Start() {
  const unsigned loops = std::clamp(options_.loops, 1u, kMaxLoops);
  while (loops_.size() < loops) loops_.push_back(TRY(Loop::Create(this)));
  return Ok();
}

Server::~Server() {
  for (const UniqueFd& listener : listeners_) main_->Unwatch(listener.get());
  for (Handshake& handshake : handshakes_) {
    ::shutdown(handshake.socket, SHUT_RDWR);
    handshake.thread.join();
  }
  loops_.clear();
  if (const int error = block::Flush(image_.get()); error != 0) {
    LOG_ERROR("NBD: {}", SystemError(error, "flush the image").message());
  }
}

Status Server::Listen(UniqueFd listener) {
  const int fd = listener.get();
  TRY(main_->Watch(fd, listening_ ? EPOLLIN : 0u, [this, fd](uint32_t) { AcceptOn(fd); }));
  listeners_.push_back(std::move(listener));
  return Ok();
}

void Server::Post(std::function<void(Server*)> work) {
  main_->Post([work = std::move(work), alive = std::weak_ptr(alive_)] {
    if (const auto server = alive.lock()) work(*server);
  });
}

void Server::UpdateListening() {
  const bool listening = connections_ < options_.max_connections;
  if (listening == std::exchange(listening_, listening)) return;
  for (const UniqueFd& listener : listeners_) (void)main_->Rewatch(listener.get(), listening ? EPOLLIN : 0u);
}

void Server::AcceptOn(int listener) {
  UniqueFd socket(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) {
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
      LOG_WARNING_LIMITED("NBD: {}", SystemError(errno, "accept a connection").message());
    }
    return;
  }
  Tune(socket.get());
  ++connections_;
  UpdateListening();
  Shake(std::move(socket));
}

// On a thread of its own, for as long as the time limit lets it: a client that dawdles is in nobody's way.
void Server::Shake(UniqueFd socket) {
  const auto handshake = handshakes_.emplace(handshakes_.end());
  handshake->socket = socket.get();
  Deadline deadline;
  if (options_.handshake_seconds != 0) {
    deadline = Clock::now() + std::chrono::seconds(options_.handshake_seconds);
  }
  const SignalsBlocked blocked;
  handshake->thread = std::thread([this, handshake, deadline, fd = socket.Release()] {
    handshake->result = ServerHandshake(CreateChannel(UniqueFd(fd)), options_.what, deadline);
    Post([handshake](Server* server) { server->Shaken(handshake); });
  });
}

void Server::Shaken(std::list<Handshake>::iterator handshake) {
  handshake->thread.join();
  Result<ServerSession> result = std::move(handshake->result);
  handshakes_.erase(handshake);
  if (!result) {
    if (result.error().code() != Code::kUnavailable) {
      LOG_WARNING_LIMITED("NBD: {}", result.error().message());
    }
    return Ended();
  }
  loops_[next_loop_++ % loops_.size()]->Add(*std::move(result));
}

void Server::Ended() {
  --connections_;
  UpdateListening();
  if (connections_ == 0) idle_();
}

}  // namespace berth::block::nbd

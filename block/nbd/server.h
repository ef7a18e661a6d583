// Server: one export, many connections, on a few event loops of its own.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "block/format_image.h"
#include "block/nbd/export.h"

namespace berth::block::nbd {

struct ServerOptions {
  Export what{};               // Its image is set by Create.
  size_t max_connections = 1;  // At once; 0: kMaxConnections. Further clients wait to be accepted.
  unsigned loops = 1;          // Connections are spread over these.
  int handshake_seconds = 10;  // 0: without limit.
};

inline constexpr size_t kMaxConnections = 512;
inline constexpr unsigned kMaxLoops = 8;

// Threads: everything on the thread of `main`, which runs Server's callbacks.
class Server {
 public:
  // `main` outlives the server. `idle` is called whenever the last client has gone.
  static Result<std::unique_ptr<Server>> Create(EventLoop* main, std::shared_ptr<FormatImage> image,
                                                ServerOptions options, std::function<void()> idle);
  // Ends every connection when what is in flight is done, and flushes the image.
  ~Server();

  // Accepts on a listening stream socket from now on.
  Status Listen(UniqueFd listener);
  size_t connections() const { return connections_; }

 private:
  class Loop;
  struct Handshake;

  Server(EventLoop* main, std::shared_ptr<FormatImage> image, ServerOptions options,
         std::function<void()> idle);
  Status Start();
  void AcceptOn(int listener);
  void Shake(UniqueFd socket);
  void Shaken(std::list<Handshake>::iterator handshake);
  void Ended();
  // On main, if the server is still there. Any thread, while it is.
  void Post(std::function<void(Server*)> work);
  void UpdateListening();

  EventLoop* const main_;
  const std::shared_ptr<FormatImage> image_;
  const ServerOptions options_;
  const std::function<void()> idle_;
  const std::shared_ptr<Server*> alive_ = std::make_shared<Server*>(this);
  std::vector<UniqueFd> listeners_;
  std::list<Handshake> handshakes_;
  std::vector<std::unique_ptr<Loop>> loops_;
  size_t connections_ = 0;  // With those whose handshakes are under way.
  size_t next_loop_ = 0;
  bool listening_ = true;
};

}  // namespace berth::block::nbd

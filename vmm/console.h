// The guest's console: what it prints goes to a bounded history, to a log and to whoever is attached; what
// they type goes to the guest. The guest never waits for any of them.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <string>

#include "base/event_loop.h"
#include "base/mutex.h"
#include "base/unique_fd.h"

namespace berth::vmm {

class Console {
 public:
  static constexpr size_t kHistoryBytes = 64 * 1024;
  static constexpr size_t kMaxClients = 8;

  // `input` hands bytes to the guest's device and says how many it took. `log` may be invalid.
  static Result<std::unique_ptr<Console>> Create(EventLoop* loop, UniqueFd log,
                                                 std::function<size_t(std::span<const uint8_t>)> input);
  ~Console();

  // What the guest prints. Any thread; never blocks. Output that comes faster than the loop takes it up is
  // cut.
  void Output(std::span<const uint8_t> bytes);

  // Adds a client (a stream socket): it gets the history, then all that is printed. A client that does not
  // read loses its place. RESOURCE_EXHAUSTED over kMaxClients. Loop thread.
  Status Attach(UniqueFd stream);

 private:
  struct Client {
    UniqueFd stream;
    std::string out;  // Not yet written to it.
    std::string in;   // Not yet taken by the guest.
    bool gone = false;
  };
  Console(EventLoop* loop, UniqueFd log, UniqueFd wakeup,
          std::function<size_t(std::span<const uint8_t>)> input);
  void TakeUp();
  void Serve(Client& client, uint32_t events);
  void Write(Client& client);
  void Type(Client& client);
  void RetryTyping();
  void Watch(Client& client);
  void DropGone();

  EventLoop* const loop_;
  const UniqueFd log_;
  const UniqueFd wakeup_;
  const std::function<size_t(std::span<const uint8_t>)> input_;
  // Loop thread.
  std::string history_;
  std::list<Client> clients_;
  EventLoop::TimerId retry_ = 0;

  Mutex mutex_;
  std::string fresh_ GUARDED_BY(mutex_);  // Printed, and not yet taken up by the loop.
};

}  // namespace berth::vmm

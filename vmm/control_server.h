// The VMM's side of the control channel: requests of berthd are carried out, events go back to it.
#pragma once

#include <list>
#include <memory>

#include "base/event_loop.h"
#include "base/socket.h"
#include "berth/vmm/v1/control.pb.h"
#include "vmm/event_log.h"
#include "vmm/machine.h"

namespace berth::vmm {

// Control thread only. Whoever can connect is trusted; what they send is checked all the same.
class ControlServer {
 public:
  static constexpr size_t kMaxConnections = 8;

  explicit ControlServer(EventLoop* loop) : loop_(loop) {}
  ~ControlServer();

  // Serves one more connection.
  Status Serve(UniqueFd connection);
  // After the loop has ended: the process's exit status.
  int exit_status() const { return exit_status_; }

 private:
  struct Connection {
    UniqueFd fd;
    bool subscribed = false;
    bool has_jobs = false;  // Which end with it.
    bool gone = false;
  };
  void Receive(Connection& connection);
  v1::Reply Handle(const v1::Request& request, std::vector<UniqueFd> fds, Connection& connection);
  Status Carry(const v1::Request& request, std::vector<UniqueFd> fds, Connection& connection,
               v1::Reply* reply);
  Status Build(const v1::Build& request, Descriptors fds, v1::Reply* reply);
  Result<Machine*> machine();
  void Send(Connection& connection, const v1::FromVmm& message);
  void Tell(const v1::Event& event);
  void DropGone();

  EventLoop* const loop_;
  EventLog events_;
  UniqueFd listener_;
  std::list<Connection> connections_;
  v1::MachineConfig config_;
  std::unique_ptr<Machine> machine_;
  int exit_status_ = 0;
};

}  // namespace berth::vmm

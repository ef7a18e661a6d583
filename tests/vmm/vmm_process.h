// berth-vmm itself, as its daemon runs it: a process at the other end of a control socket.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "berth/vmm/v1/control.pb.h"

namespace berth::vmm {

class VmmProcess {
 public:
  // Starts the program and builds a machine of one vCPU, 64 MiB and the guest of `code`
  // (tests/vmm/tiny_guest.h), which confines itself. `adjust` may change the configuration and add to the
  // descriptors, which are passed along.
  using Adjust = std::function<void(v1::MachineConfig&, std::vector<UniqueFd>&)>;
  static Result<std::unique_ptr<VmmProcess>> Create(const std::vector<uint8_t>& code,
                                                    const Adjust& adjust = {});
  ~VmmProcess();  // Kills what still runs.

  Result<v1::Reply> Ask(v1::Request request, const std::vector<int>& fds = {});
  // Until an event like this has come, also while a reply was waited for; false if the process ends before.
  bool Await(v1::Event::Kind kind, v1::MachineState state = v1::MACHINE_STATE_UNSPECIFIED);
  // Waits for its end: the exit status, or less than 0 for a signal.
  int Wait();
  pid_t pid() const { return pid_; }

 private:
  Result<v1::FromVmm> Receive();

  UniqueFd control_;
  pid_t pid_ = -1;
  uint64_t last_id_ = 0;
  std::vector<v1::Event> events_;
};

}  // namespace berth::vmm

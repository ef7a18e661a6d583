// A process as something to be ended later, even by another daemon.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"

namespace berth::server {

// A process id is given away again; with the time of its start it is not.
struct ProcessChange {
  int pid = 0;
  uint64_t start_time = 0;  // Field 22 of /proc/PID/stat.

  friend bool operator==(const ProcessChange&, const ProcessChange&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("pid", self.pid);
    visit("start_time", self.start_time);
  }
};

// NOT_FOUND, PROCESS_NOT_FOUND. `proc` is where procfs is.
Result<ProcessChange> DescribeProcess(const std::string& proc, int pid);
// A pidfd of that very process. NOT_FOUND, PROCESS_NOT_FOUND.
Result<UniqueFd> OpenProcess(const std::string& proc, const ProcessChange& process);
// Whether a thread belongs to a process.
bool HasThread(const std::string& proc, int pid, int tid);
// All threads of a process, its first one among them; none if it is gone.
std::vector<int> ThreadsOf(const std::string& proc, int pid);
// SIGKILL, and waits until it is gone. Ok if it is gone already. DEADLINE_EXCEEDED, PROCESS_DOES_NOT_END.
Status EndProcess(const std::string& proc, const ProcessChange& process, int timeout_ms);

}  // namespace berth::server

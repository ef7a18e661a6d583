// A conversation with a guest's agent (qemu-guest-agent), over a stream of its port's bytes.
//
// The agent belongs to the guest, and a guest is hostile: what it says is bounded in size and time, and read
// strictly (agent_reply.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/unique_fd.h"

namespace berth::server {

// One thread, which waits here; but not the loop's.
//
// Errors of all of it: ParseAgentReply's; DEADLINE_EXCEEDED, AGENT_TIMED_OUT; UNAVAILABLE, AGENT_GONE: the
// stream has ended. After an error nothing is asked any more.
class GuestAgent {
 public:
  // Of what the agent says before it answers.
  static constexpr size_t kMaxSkippedBytes = 256 * 1024;

  // Vmm::AttachAgent's.
  explicit GuestAgent(UniqueFd stream) : stream_(std::move(stream)) {}

  // Finds the place from which on the agent answers what is asked here: whatever was said before, to
  // whomever, is behind it (guest-sync-delimited). Once, before anything is asked.
  Status Synchronize(std::chrono::milliseconds timeout);
  // A command without arguments.
  Result<int64_t> Ask(std::string_view command, std::chrono::milliseconds timeout);
  // Both at once, without waiting in between: an agent that comes to it when nobody waits any more does it
  // all the same.
  Result<int64_t> Insist(std::string_view command, std::chrono::milliseconds timeout);

 private:
  using Clock = std::chrono::steady_clock;
  static std::string Encode(std::string_view command);
  static std::string EncodeSync(int64_t id);
  Status Send(std::string_view bytes, Clock::time_point deadline);
  Status AwaitSync(int64_t id, Clock::time_point deadline);
  Result<std::string> TakeLine(Clock::time_point deadline);
  Status Wait(short events, Clock::time_point deadline) const;

  UniqueFd stream_;
  std::string said_;  // Not yet looked at.
};

}  // namespace berth::server

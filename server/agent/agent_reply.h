// What a guest's agent answers: the protocol of QEMU's guest agent (qemu-ga-ref, "Protocol"), a JSON object a
// line.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace berth::server {

// A longer line is no answer to anything that is asked here.
inline constexpr size_t kMaxAgentReplyBytes = 64 * 1024;

// The number that a command returned, as all do that are asked here. The guest says this: it may be a lie.
// FAILED_PRECONDITION, AGENT_REFUSED, with what the agent says of it, printable; INTERNAL,
// AGENT_PROTOCOL_ERROR, for all that is neither.
Result<int64_t> ParseAgentReply(std::string_view line);

// INTERNAL, AGENT_PROTOCOL_ERROR.
Error AgentProtocolError(std::string_view message);

}  // namespace berth::server

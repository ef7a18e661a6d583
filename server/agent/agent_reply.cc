#include "server/agent/agent_reply.h"

#include <nlohmann/json.hpp>

#include "proto/error_details.h"

namespace berth::server {
namespace {

using nlohmann::json;

constexpr size_t kMaxTextBytes = 512;

// Null if it is not there, or nothing of the kind.
const std::string* TextOf(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : found->get_ptr<const std::string*>();
}

}  // namespace

Error AgentProtocolError(std::string_view message) {
  return Error(Code::kInternal, fmt::format("the guest's agent broke its protocol: {}", message))
      .Reason("AGENT_PROTOCOL_ERROR");
}

Result<int64_t> ParseAgentReply(std::string_view line) {
  if (line.size() > kMaxAgentReplyBytes) return Fail(AgentProtocolError("an answer of more than 64 KiB"));
  const json reply = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!reply.is_object()) return Fail(AgentProtocolError("an answer that is no object of JSON"));
  const auto returned = reply.find("return"), error = reply.find("error");
  if ((returned == reply.end()) == (error == reply.end()))
    return Fail(AgentProtocolError("an answer with neither a result nor an error, or with both"));
  if (error != reply.end()) {
    const std::string* const text = TextOf(*error, "desc");
    if (text == nullptr) return Fail(AgentProtocolError("an error without a description"));
    return Fail(Error(Code::kFailedPrecondition,
                      fmt::format("the guest's agent refuses: {}", Printable(*text, kMaxTextBytes)))
                    .Reason("AGENT_REFUSED"));
  }
  const auto* const number = returned->get_ptr<const int64_t*>();
  if (number == nullptr || (returned->is_number_unsigned() && *number < 0))
    return Fail(AgentProtocolError("a result that is no number"));
  return *number;
}

}  // namespace berth::server

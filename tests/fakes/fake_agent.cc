#include "tests/fakes/fake_agent.h"

#include <algorithm>

namespace berth {
namespace {

constexpr int kFileSystems = 2;

std::string Return(const std::string& value) { return "{\"return\": " + value + "}\n"; }
std::string Refuse(const std::string& text) {
  return "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"" + text + "\"}}\n";
}

}  // namespace

std::string FakeAgent::Hear(std::string_view bytes) {
  std::string answers;
  for (const char byte : bytes) {
    if (byte == '\xff') {
      heard_.clear();
    } else if (byte != '\n') {
      heard_ += byte;
    } else {
      answers += Answer(heard_);
      heard_.clear();
    }
  }
  return answers;
}

std::string FakeAgent::Answer(const std::string& command) {
  if (manner_ == "silent" || over_) return "";
  if (manner_ == "garbage") return "garbage\n";
  if (manner_ == "endless") return std::string(1 << 20, 'x');
  if (manner_ == "chatty") return "\xff{\"return\": 1}\n{\"return\": {}}\n{\"ret" + Do(command);
  std::string answer = Do(command);
  if (manner_ == "cut" && !answer.empty()) {
    over_ = true;
    answer.resize(answer.size() / 2);
  }
  return answer;
}

std::string FakeAgent::Do(const std::string& command) {
  const auto is = [&](const char* name) { return command.find(name) != std::string::npos; };
  if (is("\"guest-sync-delimited\"")) {
    std::string id;
    std::copy_if(command.begin(), command.end(), std::back_inserter(id),
                 [](char c) { return c >= '0' && c <= '9'; });
    return "\xff" + Return(manner_ == "wrong_id" ? "1" + id : id);
  }
  if (manner_ == "no_number") return Return("{}");
  if (is("\"guest-fsfreeze-freeze\"")) {
    if (manner_ == "refuse") return Refuse("Command guest-fsfreeze-freeze has been disabled\\u001b[31m");
    if (frozen_) return Refuse("Command guest-fsfreeze-freeze is disabled while file systems are frozen");
    frozen_ = true;
    ++freezes_;
    return manner_ == "hang_freeze" ? "" : Return(std::to_string(kFileSystems));
  }
  if (is("\"guest-fsfreeze-thaw\"")) {
    if (manner_ == "lose_thaw" && !lost_) {
      lost_ = true;
      return "";
    }
    if (manner_ == "thaw_itself") frozen_ = false;
    const int thawed = frozen_ ? kFileSystems : 0;
    frozen_ = false;
    return Return(std::to_string(thawed));
  }
  return Refuse("The command has not been found");
}

}  // namespace berth

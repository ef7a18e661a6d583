// Completion for shells: a shell asks `berth completion words LINE...` what the last word of the line could
// be.
#include <ostream>
#include <set>

#include "cli/command.h"
#include "cli/program.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;

constexpr std::string_view kBash = R"~(_berth() {
  local IFS=$'\n'
  COMPREPLY=($(berth completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  [[ ${COMPREPLY[*]} ]] || compopt -o default
}
complete -F _berth berth
)~";
constexpr std::string_view kZsh = R"~(#compdef berth
_berth() {
  local -a candidates
  candidates=(${(f)"$(berth completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if (( $#candidates )); then compadd -- $candidates; else _files; fi
}
compdef _berth berth
)~";
constexpr std::string_view kFish =
    R"~(complete -c berth -a '(berth completion words -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
)~";

void AddGuests(const Connection& connection, std::set<std::string>& candidates) {
  const auto page = connection.Call(&GuestService::Stub::ListGuests, berth::v1::ListGuestsRequest());
  if (!page) return;
  for (const berth::v1::Guest& guest : page->guests()) candidates.insert(GuestId(guest.name()));
}

std::set<std::string> Candidates(const Invocation& call, const std::vector<std::string>& line) {
  std::set<std::string> candidates;
  const std::vector<std::string> before(line.begin(), line.end() - (line.empty() ? 0 : 1));
  size_t count = 0;
  const Command* command = FindCommand(before, &count);
  if (command == nullptr) {
    for (const Command* other : Commands()) {
      const size_t space = other->words.find(' ');
      if (before.empty()) candidates.emplace(other->words.substr(0, space));
      if (before.size() == 1 && space != std::string_view::npos &&
          other->words.substr(0, space) == before[0]) {
        candidates.emplace(other->words.substr(space + 1));
      }
    }
    return candidates;
  }
  if (before.back() == "-o" || before.back() == "--output") return {"table", "json", "yaml", "name"};
  if (before.back() == "-f" || before.back() == "--file") return {};
  if (line.back().starts_with("-")) {
    po::options_description options;
    CommonOptions common;
    common.Describe(options);
    if (command->describe != nullptr) command->describe(options);
    for (const auto& option : options.options()) candidates.insert("--" + option->long_name());
  } else if (!command->arguments.empty() && command->arguments[0] == "GUEST") {
    AddGuests(call.connection, candidates);
  }
  return candidates;
}

Status Run(const Invocation& call) {
  const std::string& shell = call.arguments[0];
  if (shell == "bash") {
    call.out << kBash;
  } else if (shell == "zsh") {
    call.out << kZsh;
  } else if (shell == "fish") {
    call.out << kFish;
  } else if (shell == "words") {
    const std::vector<std::string> line(call.arguments.begin() + 1, call.arguments.end());
    for (const std::string& candidate : Candidates(call, line)) {
      if (line.empty() || candidate.starts_with(line.back())) call.out << candidate << '\n';
    }
  } else {
    return Fail(Code::kInvalidArgument, "no completion for \"{}\"; there are bash, zsh and fish", shell);
  }
  return Ok();
}

}  // namespace

const Command kCompletion = {.words = "completion",
                             .arguments = {"SHELL", "WORD..."},
                             .required = 1,
                             .summary = "Print a completion script for bash, zsh or fish",
                             .run = Run};

}  // namespace berth::cli

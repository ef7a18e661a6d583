// The program but for main: arguments in, status out.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "cli/command.h"

namespace berth::cli {

inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

// Runs what `words` (without the program's name) ask for and returns the program's exit status.
int RunProgram(const std::vector<std::string>& words, std::ostream& out, std::ostream& err);

// Options of every command.
struct CommonOptions {
  ServerOptions server;
  std::string output = "table";
  void Describe(boost::program_options::options_description& options);
};

// The command that `words` begin with, and how many of them name it; null if none does.
const Command* FindCommand(const std::vector<std::string>& words, size_t* count);

}  // namespace berth::cli

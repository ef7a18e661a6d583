// Other people's programs, run to their end.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/error.h"

namespace berth {

// As much as is kept of what a program prints, of each kind; of more it is told that it was too much.
inline constexpr size_t kMaxProgramOutputBytes = 16 << 20;

struct ProgramResult {
  int status = 0;  // As a shell has it: the exit status, or 128 and the signal that ended it.
  std::string output;
  std::string errors;
};

// Runs `words[0]`, a path, with the others as its arguments: without a shell, in the C locale, with nothing
// of this process's environment and descriptors, in a process group of its own. Returns when it has ended;
// what it leaves running in the background is not waited for. Whatever its exit status, that is no error.
//
// NOT_FOUND, PERMISSION_DENIED and so on if it cannot be run. DEADLINE_EXCEEDED if it takes longer than
// `timeout`: its group is killed. RESOURCE_EXHAUSTED for more than kMaxProgramOutputBytes. Any thread.
Result<ProgramResult> RunProgram(const std::vector<std::string>& words, std::chrono::milliseconds timeout);

}  // namespace berth

// Waiting for operations.
#pragma once

#include "cli/command.h"

namespace berth::cli {

// For commands that start an operation: `--wait`.
void DescribeWait(boost::program_options::options_description& options);

// Ends a command that started an operation: without --wait it prints the operation; with it, it waits until
// it is done and prints what has come of it. The operation's error if that failed.
Status FinishOperation(const Invocation& call, const Result<google::longrunning::Operation>& operation);

// Waits, with a progress line where there is a terminal, and prints what has come of it.
Status AwaitOperation(const Invocation& call, google::longrunning::Operation operation);

// Whether it is done, and how, or what it is doing: "create guests/web: binding 0000:41:00.1 (3/12)".
std::string Describe(const google::longrunning::Operation& operation);

}  // namespace berth::cli

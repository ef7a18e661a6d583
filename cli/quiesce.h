// --quiesce and --no-quiesce, of commands that make snapshots.
#pragma once

#include "berth/v1/volume.pb.h"
#include "cli/command.h"

namespace berth::cli {

void DescribeQuiesce(boost::program_options::options_description& options);
// INVALID_ARGUMENT for both.
Result<berth::v1::VolumeSnapshot::Quiesce> QuiesceOf(const Invocation& call);

}  // namespace berth::cli

#include "cli/quiesce.h"

#include "cli/operation_wait.h"

namespace berth::cli {

void DescribeQuiesce(boost::program_options::options_description& options) {
  options.add_options()                                                        //
      ("quiesce", "only with the guest's file systems at rest, by its agent")  //
      ("no-quiesce", "without asking the guest's agent, which is asked else if there is one");
  DescribeWait(options);
}

Result<berth::v1::VolumeSnapshot::Quiesce> QuiesceOf(const Invocation& call) {
  using berth::v1::VolumeSnapshot;
  if (call.Has("quiesce") && call.Has("no-quiesce"))
    return Fail(Code::kInvalidArgument, "--quiesce or --no-quiesce, not both");
  if (call.Has("quiesce")) return VolumeSnapshot::REQUIRED;
  return call.Has("no-quiesce") ? VolumeSnapshot::NEVER : VolumeSnapshot::QUIESCE_UNSPECIFIED;
}

}  // namespace berth::cli

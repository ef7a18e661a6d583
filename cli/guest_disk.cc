// What running guests' disks stand on.
#include "cli/command.h"
#include "cli/operation_wait.h"
#include "cli/quiesce.h"
#include "cli/volume_view.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;

Status RunSnapshot(const Invocation& call) {
  berth::v1::SnapshotDiskRequest request;
  request.set_name(GuestName(call.arguments[0]));
  request.set_disk_id(call.arguments[1]);
  request.set_volume_id(call.arguments[2]);
  request.set_quiesce(TRY(QuiesceOf(call)));
  request.set_request_id(RandomUuid());
  return FinishOperation(call, call.connection.Call(&GuestService::Stub::SnapshotDisk, request));
}

void DescribeJob(po::options_description& options) {
  options.add_options()("rate", po::value<std::string>(), "as 50M: how much is copied in a second at most");
  DescribeWait(options);
}

void DescribeMirror(po::options_description& options) {
  options.add_options()("format", po::value<std::string>(),
                        "of the new volume: qcow2 (unless it is given) or raw");
  DescribeJob(options);
}

Status RunMirror(const Invocation& call) {
  berth::v1::MirrorDiskRequest request;
  request.set_name(GuestName(call.arguments[0]));
  request.set_disk_id(call.arguments[1]);
  const auto [pool, id] = TRY(SplitVolumeName(call.arguments[2]));
  request.set_parent(pool);
  request.set_volume_id(id);
  request.set_format(TRY(ParseVolumeFormat(call.Text("format"))));
  if (call.Has("rate")) request.set_bytes_per_second(TRY(ParseBytes(call.Text("rate"))));
  request.set_request_id(RandomUuid());
  return FinishOperation(call, call.connection.Call(&GuestService::Stub::MirrorDisk, request));
}

template <typename Request>
Status RunJob(const Invocation& call,
              grpc::Status (GuestService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                         google::longrunning::Operation*)) {
  Request request;
  request.set_name(GuestName(call.arguments[0]));
  request.set_disk_id(call.arguments[1]);
  if (call.Has("rate")) request.set_bytes_per_second(TRY(ParseBytes(call.Text("rate"))));
  request.set_request_id(RandomUuid());
  return FinishOperation(call, call.connection.Call(method, request));
}

Status RunStream(const Invocation& call) { return RunJob(call, &GuestService::Stub::StreamDisk); }
Status RunCommit(const Invocation& call) { return RunJob(call, &GuestService::Stub::CommitDisk); }

}  // namespace

const Command kGuestSnapshot = {
    .words = "guest snapshot",
    .arguments = {"GUEST", "DISK", "NEW-VOLUME"},
    .required = 3,
    .summary = "Keep what a running guest's disk has; it goes on with a new volume",
    .describe = DescribeQuiesce,
    .run = RunSnapshot};
const Command kGuestStream = {
    .words = "guest stream",
    .arguments = {"GUEST", "DISK"},
    .required = 2,
    .summary = "Copy what a running guest's disk stands on to it, so that it stands alone",
    .describe = DescribeJob,
    .run = RunStream};
const Command kGuestCommit = {
    .words = "guest commit",
    .arguments = {"GUEST", "DISK"},
    .required = 2,
    .summary = "Write a running guest's disk to the volume beneath, which it becomes",
    .describe = DescribeJob,
    .run = RunCommit};
const Command kGuestMirror = {.words = "guest mirror",
                              .arguments = {"GUEST", "DISK", "POOL/NEW-VOLUME"},
                              .required = 3,
                              .summary = "Copy a running guest's disk to a new volume, which it becomes",
                              .describe = DescribeMirror,
                              .run = RunMirror};

}  // namespace berth::cli

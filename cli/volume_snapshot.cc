// Snapshots inside volumes.
#include <google/protobuf/util/time_util.h>

#include "cli/command.h"
#include "cli/operation_wait.h"
#include "cli/quiesce.h"
#include "proto/volume_name.h"

namespace berth::cli {
namespace {

using berth::v1::VolumeSnapshot;

Result<std::string> SnapshotName(const Invocation& call) {
  return fmt::format("{}{}{}", TRY(VolumeName(call.arguments[0])), kSnapshotsCollection, call.arguments[1]);
}

Status RunList(const Invocation& call) {
  berth::v1::ListVolumeSnapshotsResponse list;
  berth::v1::ListVolumeSnapshotsRequest request;
  request.set_parent(TRY(VolumeName(call.arguments[0])));
  TRY(call.connection.EachPage(&VolumeService::Stub::ListVolumeSnapshots, request, [&](const auto& page) {
    list.mutable_snapshots()->MergeFrom(page.snapshots());
  }));
  Table table({"NAME", "SIZE", "CREATED"});
  for (const VolumeSnapshot& snapshot : list.snapshots()) {
    if (call.format == OutputFormat::kName) call.out << snapshot.name() << '\n';
    table.Add({snapshot.name(), FormatBytes(snapshot.size_bytes()),
               google::protobuf::util::TimeUtil::ToString(snapshot.create_time())});
  }
  if (call.format == OutputFormat::kTable) table.Print(call.out);
  PrintMessage(call.out, call.format, list);
  return Ok();
}

Status RunCreate(const Invocation& call) {
  berth::v1::CreateVolumeSnapshotRequest request;
  request.set_parent(TRY(VolumeName(call.arguments[0])));
  request.set_snapshot_id(call.arguments[1]);
  request.set_quiesce(TRY(QuiesceOf(call)));
  request.set_request_id(RandomUuid());
  return FinishOperation(call, call.connection.Call(&VolumeService::Stub::CreateVolumeSnapshot, request));
}

Status RunApply(const Invocation& call) {
  berth::v1::ApplyVolumeSnapshotRequest request;
  request.set_name(TRY(SnapshotName(call)));
  request.set_request_id(RandomUuid());
  return FinishOperation(call, call.connection.Call(&VolumeService::Stub::ApplyVolumeSnapshot, request));
}

Status RunDelete(const Invocation& call) {
  berth::v1::DeleteVolumeSnapshotRequest request;
  request.set_name(TRY(SnapshotName(call)));
  request.set_request_id(RandomUuid());
  return FinishOperation(call, call.connection.Call(&VolumeService::Stub::DeleteVolumeSnapshot, request));
}

}  // namespace

const Command kVolumeSnapshots = {.words = "volume snapshots",
                                  .arguments = {"POOL/VOLUME"},
                                  .required = 1,
                                  .summary = "List the states that a volume keeps",
                                  .run = RunList};
const Command kVolumeSnapshot = {.words = "volume snapshot",
                                 .arguments = {"POOL/VOLUME", "SNAPSHOT"},
                                 .required = 2,
                                 .summary = "Keep a volume's state inside it",
                                 .describe = DescribeQuiesce,
                                 .run = RunCreate};
const Command kVolumeApply = {.words = "volume apply",
                              .arguments = {"POOL/VOLUME", "SNAPSHOT"},
                              .required = 2,
                              .summary = "Give a volume the content that it had at a snapshot",
                              .describe = DescribeWait,
                              .run = RunApply};
const Command kVolumeForget = {.words = "volume forget",
                               .arguments = {"POOL/VOLUME", "SNAPSHOT"},
                               .required = 2,
                               .summary = "Delete a volume's snapshot",
                               .describe = DescribeWait,
                               .run = RunDelete};

}  // namespace berth::cli

// Records, inside volumes, of where they were written to.
#include "cli/command.h"
#include "cli/operation_wait.h"
#include "proto/volume_name.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;
using berth::v1::VolumeBitmap;

Status RunList(const Invocation& call) {
  berth::v1::ListVolumeBitmapsResponse list;
  berth::v1::ListVolumeBitmapsRequest request;
  request.set_parent(TRY(VolumeName(call.arguments[0])));
  TRY(call.connection.EachPage(&VolumeService::Stub::ListVolumeBitmaps, request,
                               [&](const auto& page) { list.mutable_bitmaps()->MergeFrom(page.bitmaps()); }));
  Table table({"NAME", "GRANULARITY", "DIRTY"});
  for (const VolumeBitmap& bitmap : list.bitmaps()) {
    if (call.format == OutputFormat::kName) call.out << bitmap.name() << '\n';
    table.Add({bitmap.name(), FormatBytes(bitmap.granularity_bytes()),
               bitmap.inconsistent() ? "inconsistent" : FormatBytes(bitmap.dirty_bytes())});
  }
  if (call.format == OutputFormat::kTable) table.Print(call.out);
  PrintMessage(call.out, call.format, list);
  return Ok();
}

void DescribeCreate(po::options_description& options) {
  options.add_options()("granularity", po::value<std::string>(),
                        "what one bit is for: 64K unless it is given");
  DescribeWait(options);
}

Status RunCreate(const Invocation& call) {
  berth::v1::CreateVolumeBitmapRequest request;
  request.set_parent(TRY(VolumeName(call.arguments[0])));
  request.set_bitmap_id(call.arguments[1]);
  if (call.Has("granularity"))
    request.mutable_bitmap()->set_granularity_bytes(TRY(ParseBytes(call.Text("granularity"))));
  request.set_request_id(RandomUuid());
  return FinishOperation(call, call.connection.Call(&VolumeService::Stub::CreateVolumeBitmap, request));
}

Status RunDelete(const Invocation& call) {
  berth::v1::DeleteVolumeBitmapRequest request;
  request.set_name(
      fmt::format("{}{}{}", TRY(VolumeName(call.arguments[0])), kBitmapsCollection, call.arguments[1]));
  request.set_request_id(RandomUuid());
  return FinishOperation(call, call.connection.Call(&VolumeService::Stub::DeleteVolumeBitmap, request));
}

}  // namespace

const Command kVolumeBitmaps = {.words = "volume bitmaps",
                                .arguments = {"POOL/VOLUME"},
                                .required = 1,
                                .summary = "List the records of where a volume was written to",
                                .run = RunList};
const Command kVolumeBitmap = {.words = "volume bitmap",
                               .arguments = {"POOL/VOLUME", "BITMAP"},
                               .required = 2,
                               .summary = "Record where a volume is written to, for incremental backups",
                               .describe = DescribeCreate,
                               .run = RunCreate};
const Command kVolumeForgetBitmap = {.words = "volume forget-bitmap",
                                     .arguments = {"POOL/VOLUME", "BITMAP"},
                                     .required = 2,
                                     .summary = "Drop such a record",
                                     .describe = DescribeWait,
                                     .run = RunDelete};

}  // namespace berth::cli

// Volumes: what there is, making and removing it.
#include <filesystem>

#include "cli/command.h"
#include "cli/operation_wait.h"
#include "cli/volume_view.h"
#include "proto/volume_name.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;
using berth::v1::Volume;

Result<Volume::Preallocation> ParsePreallocation(const std::string& text) {
  const std::pair<const char*, Volume::Preallocation> modes[] = {{"", Volume::PREALLOCATION_UNSPECIFIED},
                                                                 {"off", Volume::PREALLOCATION_UNSPECIFIED},
                                                                 {"metadata", Volume::METADATA},
                                                                 {"falloc", Volume::FALLOC},
                                                                 {"full", Volume::FULL}};
  for (const auto& [name, mode] : modes) {
    if (text == name) return mode;
  }
  return Fail(Code::kInvalidArgument, "\"{}\" is none of off, metadata, falloc and full", text);
}

void DescribeList(po::options_description& options) {
  options.add_options()  //
      ("pool", po::value<std::string>(), "only this pool's")("filter", po::value<std::string>(),
                                                             "AIP-160, as 'format = RAW'");
}

Status RunList(const Invocation& call) {
  berth::v1::ListVolumesResponse list;
  berth::v1::ListVolumesRequest request;
  request.set_parent(PoolName(call.Has("pool") ? call.Text("pool") : "-"));
  request.set_filter(call.Text("filter"));
  TRY(call.connection.EachPage(&VolumeService::Stub::ListVolumes, request,
                               [&](const auto& page) { list.mutable_volumes()->MergeFrom(page.volumes()); }));
  PrintVolumes(call.out, call.format, {list.volumes().begin(), list.volumes().end()});
  PrintMessage(call.out, call.format, list);
  return Ok();
}

Status RunShow(const Invocation& call) {
  berth::v1::GetVolumeRequest request;
  request.set_name(TRY(VolumeName(call.arguments[0])));
  const Volume volume = TRY(call.connection.Call(&VolumeService::Stub::GetVolume, request));
  PrintVolumes(call.out, call.format, {volume});
  PrintMessage(call.out, call.format, volume);
  return Ok();
}

void DescribeCreate(po::options_description& options) {
  options.add_options()                                                                    //
      ("size,s", po::value<std::string>(), "as 20G; that of its base unless it is given")  //
      ("format", po::value<std::string>(),
       "qcow2 or raw; unless it is given qcow2, and raw in an LVM pool")                     //
      ("base,b", po::value<std::string>(), "the volume of the same pool that it stands on")  //
      ("preallocation", po::value<std::string>(), "off, metadata, falloc or full")           //
      ("dry-run", "only check whether it could be created");
  DescribeWait(options);
}

Status RunCreate(const Invocation& call) {
  berth::v1::CreateVolumeRequest request;
  const auto [pool, id] = TRY(SplitVolumeName(call.arguments[0]));
  request.set_parent(pool);
  request.set_volume_id(id);
  Volume* volume = request.mutable_volume();
  volume->set_format(TRY(ParseVolumeFormat(call.Text("format"))));
  volume->set_preallocation(TRY(ParsePreallocation(call.Text("preallocation"))));
  if (call.Has("size")) volume->set_size_bytes(TRY(ParseBytes(call.Text("size"))));
  if (call.Has("base")) volume->set_base(TRY(VolumeName(call.Text("base"))));
  request.set_validate_only(call.Has("dry-run"));
  request.set_request_id(RandomUuid());
  return FinishOperation(call, call.connection.Call(&VolumeService::Stub::CreateVolume, request));
}

void DescribeClone(po::options_description& options) {
  options.add_options()                                                     //
      ("full", "copy everything, so that the new volume stands alone")      //
      ("format", po::value<std::string>(), "of a full copy: qcow2 or raw")  //
      ("size,s", po::value<std::string>(), "as 20G; that of the cloned one unless it is given");
  DescribeWait(options);
}

Status RunClone(const Invocation& call) {
  berth::v1::CloneVolumeRequest request;
  request.set_name(TRY(VolumeName(call.arguments[0])));
  const auto [pool, id] = TRY(SplitVolumeName(call.arguments[1]));
  request.set_volume_id(id);
  request.set_full(call.Has("full"));
  const auto [source_pool, source_id] = TRY(SplitVolumeName(call.arguments[0]));
  if (pool != source_pool) request.set_parent(pool);
  if (call.Has("format")) request.set_format(TRY(ParseVolumeFormat(call.Text("format"))));
  if (call.Has("size")) request.set_size_bytes(TRY(ParseBytes(call.Text("size"))));
  request.set_request_id(RandomUuid());
  return FinishOperation(call, call.connection.Call(&VolumeService::Stub::CloneVolume, request));
}

void DescribeImport(po::options_description& options) {
  options.add_options()  //
      ("source-format", po::value<std::string>(),
       "raw, qcow2, vmdk, vdi, vpc, vhdx, qed, parallels; found by looking, "
       "but for raw, unless it is given")                                   //
      ("sha256", po::value<std::string>(), "of the image as it is stored")  //
      ("format", po::value<std::string>(),
       "of the volume: qcow2 or raw; unless it is given qcow2, and raw in an LVM pool")  //
      ("size,s", po::value<std::string>(), "as 20G; that of the image unless it is given");
  DescribeWait(options);
}

Status RunImport(const Invocation& call) {
  berth::v1::ImportVolumeRequest request;
  const auto [pool, id] = TRY(SplitVolumeName(call.arguments[1]));
  request.set_parent(pool);
  request.set_volume_id(id);
  // The daemon has another directory.
  request.set_source_path(std::filesystem::absolute(call.arguments[0]));
  request.set_source_format(call.Text("source-format"));
  request.set_source_sha256(call.Text("sha256"));
  request.set_format(TRY(ParseVolumeFormat(call.Text("format"))));
  if (call.Has("size")) request.set_size_bytes(TRY(ParseBytes(call.Text("size"))));
  request.set_request_id(RandomUuid());
  return FinishOperation(call, call.connection.Call(&VolumeService::Stub::ImportVolume, request));
}

Status RunResize(const Invocation& call) {
  berth::v1::ResizeVolumeRequest request;
  request.set_name(TRY(VolumeName(call.arguments[0])));
  request.set_size_bytes(TRY(ParseBytes(call.arguments[1])));
  request.set_request_id(RandomUuid());
  return FinishOperation(call, call.connection.Call(&VolumeService::Stub::ResizeVolume, request));
}

Status RunDelete(const Invocation& call) {
  berth::v1::DeleteVolumeRequest request;
  request.set_name(TRY(VolumeName(call.arguments[0])));
  return FinishOperation(call, call.connection.Call(&VolumeService::Stub::DeleteVolume, request));
}

}  // namespace

Result<std::pair<std::string, std::string>> SplitVolumeName(const std::string& argument) {
  const std::string_view text = argument;
  const bool whole = text.starts_with(kPoolsCollection);
  const std::string_view middle = whole ? kVolumesCollection : "/";
  const size_t at = text.find(middle, whole ? kPoolsCollection.size() : 0);
  if (at == text.npos) return Fail(Code::kInvalidArgument, "\"{}\" is no volume: POOL/VOLUME is", argument);
  return std::pair(PoolName(argument.substr(0, at)), argument.substr(at + middle.size()));
}

Result<Volume::Format> ParseVolumeFormat(const std::string& text) {
  if (text.empty()) return Volume::FORMAT_UNSPECIFIED;
  if (text == "qcow2") return Volume::QCOW2;
  if (text == "raw") return Volume::RAW;
  return Fail(Code::kInvalidArgument, "\"{}\" is neither raw nor qcow2", text);
}

Result<std::string> VolumeName(const std::string& argument) {
  const auto [pool, id] = TRY(SplitVolumeName(argument));
  return fmt::format("{}{}{}", pool, kVolumesCollection, id);
}

const Command kVolumeList = {
    .words = "volume list", .summary = "List volumes", .describe = DescribeList, .run = RunList};
const Command kVolumeShow = {.words = "volume show",
                             .arguments = {"POOL/VOLUME"},
                             .required = 1,
                             .summary = "Show a volume",
                             .run = RunShow};
const Command kVolumeCreate = {.words = "volume create",
                               .arguments = {"POOL/VOLUME"},
                               .required = 1,
                               .summary = "Create an empty volume, or one that stands on another",
                               .describe = DescribeCreate,
                               .run = RunCreate};
const Command kVolumeClone = {.words = "volume clone",
                              .arguments = {"POOL/VOLUME", "POOL/NEW"},
                              .required = 2,
                              .summary = "Create a volume with the content of another",
                              .describe = DescribeClone,
                              .run = RunClone};
const Command kVolumeImport = {.words = "volume import",
                               .arguments = {"IMAGE", "POOL/VOLUME"},
                               .required = 2,
                               .summary = "Create a volume from an image file of the host",
                               .describe = DescribeImport,
                               .run = RunImport};
const Command kVolumeResize = {.words = "volume resize",
                               .arguments = {"POOL/VOLUME", "SIZE"},
                               .required = 2,
                               .summary = "Make a volume larger, also while a guest runs with it",
                               .describe = DescribeWait,
                               .run = RunResize};
const Command kVolumeDelete = {.words = "volume delete",
                               .arguments = {"POOL/VOLUME"},
                               .required = 1,
                               .summary = "Delete a volume and what is on it",
                               .describe = DescribeWait,
                               .run = RunDelete};

}  // namespace berth::cli

// Pools of volumes.
#include "cli/command.h"
#include "cli/volume_view.h"

namespace berth::cli {
namespace {

using berth::v1::Pool;

Status RunList(const Invocation& call) {
  berth::v1::ListPoolsResponse list;
  berth::v1::ListPoolsRequest request;
  TRY(call.connection.EachPage(&VolumeService::Stub::ListPools, request,
                               [&](const auto& page) { list.mutable_pools()->MergeFrom(page.pools()); }));
  PrintPools(call.out, call.format, {list.pools().begin(), list.pools().end()});
  PrintMessage(call.out, call.format, list);
  return Ok();
}

Status RunShow(const Invocation& call) {
  berth::v1::GetPoolRequest request;
  request.set_name(PoolName(call.arguments[0]));
  const Pool pool = TRY(call.connection.Call(&VolumeService::Stub::GetPool, request));
  PrintPools(call.out, call.format, {pool});
  PrintMessage(call.out, call.format, pool);
  return Ok();
}

}  // namespace

const Command kPoolList = {.words = "pool list", .summary = "List the pools of volumes", .run = RunList};
const Command kPoolShow = {.words = "pool show",
                           .arguments = {"POOL"},
                           .required = 1,
                           .summary = "Show a pool and the room it has",
                           .run = RunShow};

}  // namespace berth::cli

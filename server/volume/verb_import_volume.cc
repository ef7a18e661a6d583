#include "server/guest/field_error.h"
#include "server/volume/import_source.h"
#include "server/volume/volume_verbs.h"

namespace berth::server {
namespace {

Status CheckDigestField(const std::string& digest) {
  constexpr size_t kDigits = 64;
  const bool good =
      digest.size() == kDigits && digest.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
  if (digest.empty() || good) return Ok();
  return BadPath("source_sha256", "is not {} hexadecimal digits", kDigits);
}

}  // namespace

Result<Operation> VolumeVerbs::Import(const v1::ImportVolumeRequest& request) {
  const VolumePoolPtr directory = TRY(OpenPool(TRY(PoolOf(request.parent()))));
  TRY(CheckNewId("volume_id", request.volume_id()));
  if (!request.source_path().starts_with('/')) return BadPath("source_path", "must be an absolute path");
  TRY(CheckDigestField(request.source_sha256()));
  VolumePlan plan{.name = {.pool = directory->pool(), .id = request.volume_id()},
                  .file = {.id = request.volume_id(), .base = "", .format = ""}};
  plan.file.format = TRY(CheckFormat("format", request.format(), *directory));
  const OperationRequest asked{
      .verb = "import", .target = directory->NameOf(request.volume_id()), .request_id = request.request_id()};
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  // Reading what may be anything takes its time: not under the mutex.
  std::shared_ptr<ImportSource> source =
      TRY(ImportSource::Open(request.source_path(), request.source_format()));
  MutexLock lock(admission_);
  if (auto earlier = TRY(engine_.operations.Find(asked))) return *std::move(earlier);
  plan.size_bytes = TRY(SizeOfCopy(source->image()->size_bytes(), request.size_bytes()));
  RoomLedger::Claim room = TRY(TakeRoom(*directory, plan.size_bytes));
  std::shared_ptr<VolumeMaking> making =
      TRY(VolumeMaking::Begin(directory, std::move(plan), std::move(room)));
  return engine_.operations.Start(
      asked,
      [this, making = std::move(making), source = std::move(source), digest = request.source_sha256()](
          OperationProgress& progress) mutable -> Result<std::unique_ptr<google::protobuf::Message>> {
        // Their locks end before the operation does.
        const auto mine = std::move(making);
        const auto imported = std::move(source);
        if (!digest.empty()) TRY(imported->CheckSha256(digest, progress));
        TRY(mine->Format());
        TRY(mine->Fill(imported->image(), progress));
        TRY(imported->CheckUnchanged());
        return Finish(*mine, progress);
      });
}

}  // namespace berth::server

#include <google/protobuf/empty.pb.h>

#include "base/bytes.h"
#include "block/bitmap.h"
#include "server/volume/volume_bitmaps.h"
#include "server/volume/volume_verbs.h"

namespace berth::server {
namespace {

constexpr uint64_t kUsualGranularityBytes = 64 << 10;

Result<uint64_t> GranularityOf(const v1::VolumeBitmap& bitmap) {
  if (bitmap.granularity_bytes() == 0) return kUsualGranularityBytes;
  const auto bytes = static_cast<uint64_t>(bitmap.granularity_bytes());
  if (IsPowerOfTwo(bytes) && bytes >= block::kMinBitmapGranularity && bytes <= block::kMaxBitmapGranularity)
    return bytes;
  return BadPath("bitmap.granularity_bytes", "{} is no power of two from {} to {}",
                 bitmap.granularity_bytes(), block::kMinBitmapGranularity, block::kMaxBitmapGranularity);
}

}  // namespace

Result<std::vector<v1::VolumeBitmap>> VolumeVerbs::ListBitmaps(const std::string& parent) {
  const VolumeName name = TRY(ParseVolumeName(parent, "parent"));
  return ShowBitmaps(engine_, *TRY(OpenPool(name.pool)), name.id);
}

Result<Operation> VolumeVerbs::CreateBitmap(const v1::CreateVolumeBitmapRequest& request) {
  const BitmapName name{.volume = TRY(ParseVolumeName(request.parent(), "parent")),
                        .id = request.bitmap_id()};
  TRY(CheckNewId("bitmap_id", name.id));
  const uint64_t granularity_bytes = TRY(GranularityOf(request.bitmap()));
  return ChangeContent(
      {.verb = "create", .target = name.ToString(), .request_id = request.request_id()}, name.volume,
      [this, name, granularity_bytes](const VolumePool& directory, OperationProgress&)
          -> Result<std::unique_ptr<google::protobuf::Message>> {
        TRY(server::CreateBitmap(engine_, directory, name, granularity_bytes));
        return FindShown(TRY(ShowBitmaps(engine_, directory, name.volume.id)), name.ToString());
      });
}

Result<Operation> VolumeVerbs::DeleteBitmap(const v1::DeleteVolumeBitmapRequest& request) {
  const BitmapName name = TRY(ParseInVolume<BitmapName>(request.name(), "bitmap"));
  return ChangeContent(
      {.verb = "delete", .target = name.ToString(), .request_id = request.request_id()}, name.volume,
      [this, name](const VolumePool& directory,
                   OperationProgress&) -> Result<std::unique_ptr<google::protobuf::Message>> {
        TRY(server::DeleteBitmap(engine_, directory, name));
        return std::make_unique<google::protobuf::Empty>();
      });
}

}  // namespace berth::server

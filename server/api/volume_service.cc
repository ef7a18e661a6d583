#include <algorithm>

#include <grpcpp/server_context.h>

#include "berth/v1/volume_service.grpc.pb.h"
#include "server/api/filter.h"
#include "server/api/grpc_status.h"
#include "server/api/paging.h"
#include "server/api/services.h"
#include "server/api/unknown_fields.h"

namespace berth::server {
namespace {

constexpr int kDefaultPageSize = 50;

bool IsVolumeField(std::string_view field) { return field == "name" || field == "format" || field == "base"; }

std::string VolumeField(const v1::Volume& volume, std::string_view field) {
  if (field == "name") return volume.name();
  return field == "base" ? volume.base() : v1::Volume::Format_Name(volume.format());
}

class VolumeService final : public v1::VolumeService::Service {
 public:
  explicit VolumeService(VolumeVerbs& verbs) : verbs_(verbs) {}

  grpc::Status GetPool(grpc::ServerContext*, const v1::GetPoolRequest* request, v1::Pool* response) override {
    return Respond(verbs_.GetPool(request->name()), response);
  }
  grpc::Status ListPools(grpc::ServerContext*, const v1::ListPoolsRequest* request,
                         v1::ListPoolsResponse* response) override {
    return Respond(List(*request), response);
  }
  grpc::Status GetVolume(grpc::ServerContext*, const v1::GetVolumeRequest* request,
                         v1::Volume* response) override {
    return Respond(verbs_.Get(request->name()), response);
  }
  grpc::Status ListVolumes(grpc::ServerContext*, const v1::ListVolumesRequest* request,
                           v1::ListVolumesResponse* response) override {
    return Respond(List(*request), response);
  }
  grpc::Status CreateVolume(grpc::ServerContext*, const v1::CreateVolumeRequest* request,
                            Operation* response) override {
    return Respond(Checked(*request, &VolumeVerbs::Create), response);
  }
  grpc::Status DeleteVolume(grpc::ServerContext*, const v1::DeleteVolumeRequest* request,
                            Operation* response) override {
    return Respond(Checked(*request, &VolumeVerbs::Delete), response);
  }
  grpc::Status ResizeVolume(grpc::ServerContext*, const v1::ResizeVolumeRequest* request,
                            Operation* response) override {
    return Respond(Checked(*request, &VolumeVerbs::Resize), response);
  }
  grpc::Status CloneVolume(grpc::ServerContext*, const v1::CloneVolumeRequest* request,
                           Operation* response) override {
    return Respond(Checked(*request, &VolumeVerbs::Clone), response);
  }
  grpc::Status ImportVolume(grpc::ServerContext*, const v1::ImportVolumeRequest* request,
                            Operation* response) override {
    return Respond(Checked(*request, &VolumeVerbs::Import), response);
  }
  grpc::Status CreateVolumeSnapshot(grpc::ServerContext*, const v1::CreateVolumeSnapshotRequest* request,
                                    Operation* response) override {
    return Respond(Checked(*request, &VolumeVerbs::CreateSnapshot), response);
  }
  grpc::Status ListVolumeSnapshots(grpc::ServerContext*, const v1::ListVolumeSnapshotsRequest* request,
                                   v1::ListVolumeSnapshotsResponse* response) override {
    return Respond(List(*request), response);
  }
  grpc::Status ApplyVolumeSnapshot(grpc::ServerContext*, const v1::ApplyVolumeSnapshotRequest* request,
                                   Operation* response) override {
    return Respond(Checked(*request, &VolumeVerbs::ApplySnapshot), response);
  }
  grpc::Status DeleteVolumeSnapshot(grpc::ServerContext*, const v1::DeleteVolumeSnapshotRequest* request,
                                    Operation* response) override {
    return Respond(Checked(*request, &VolumeVerbs::DeleteSnapshot), response);
  }
  grpc::Status CreateVolumeBitmap(grpc::ServerContext*, const v1::CreateVolumeBitmapRequest* request,
                                  Operation* response) override {
    return Respond(Checked(*request, &VolumeVerbs::CreateBitmap), response);
  }
  grpc::Status ListVolumeBitmaps(grpc::ServerContext*, const v1::ListVolumeBitmapsRequest* request,
                                 v1::ListVolumeBitmapsResponse* response) override {
    return Respond(List(*request), response);
  }
  grpc::Status DeleteVolumeBitmap(grpc::ServerContext*, const v1::DeleteVolumeBitmapRequest* request,
                                  Operation* response) override {
    return Respond(Checked(*request, &VolumeVerbs::DeleteBitmap), response);
  }

 private:
  template <typename Request>
  Result<Operation> Checked(const Request& request, Result<Operation> (VolumeVerbs::*verb)(const Request&)) {
    TRY(RefuseUnknownFields(request));
    return (verbs_.*verb)(request);
  }

  Result<v1::ListPoolsResponse> List(const v1::ListPoolsRequest& request) {
    const int size = TRY(PageSize(request.page_size(), kDefaultPageSize));
    v1::ListPoolsResponse response;
    for (v1::Pool& pool : TRY(PageOf(
             verbs_.Pools(), [](const v1::Pool& one) { return one.name(); }, "pools", size,
             request.page_token(), response.mutable_next_page_token()))) {
      *response.add_pools() = std::move(pool);
    }
    return response;
  }

  Result<v1::ListVolumesResponse> List(const v1::ListVolumesRequest& request) {
    const int size = TRY(PageSize(request.page_size(), kDefaultPageSize));
    const Filter filter = TRY(Filter::Parse(request.filter(), IsVolumeField));
    std::vector<v1::Volume> volumes = TRY(verbs_.List(request.parent()));
    std::erase_if(volumes, [&](const v1::Volume& volume) {
      return !filter.Matches([&](std::string_view field) { return VolumeField(volume, field); });
    });
    std::sort(volumes.begin(), volumes.end(),
              [](const auto& a, const auto& b) { return a.name() < b.name(); });
    v1::ListVolumesResponse response;
    for (v1::Volume& volume : TRY(PageOf(
             std::move(volumes), [](const v1::Volume& one) { return one.name(); },
             fmt::format("volumes {} {}", request.parent(), request.filter()), size, request.page_token(),
             response.mutable_next_page_token()))) {
      *response.add_volumes() = std::move(volume);
    }
    return response;
  }

  Result<v1::ListVolumeSnapshotsResponse> List(const v1::ListVolumeSnapshotsRequest& request) {
    const int size = TRY(PageSize(request.page_size(), kDefaultPageSize));
    v1::ListVolumeSnapshotsResponse response;
    for (v1::VolumeSnapshot& snapshot : TRY(PageOf(
             TRY(verbs_.ListSnapshots(request.parent())),
             [](const v1::VolumeSnapshot& one) { return one.name(); }, "snapshots " + request.parent(), size,
             request.page_token(), response.mutable_next_page_token()))) {
      *response.add_snapshots() = std::move(snapshot);
    }
    return response;
  }

  Result<v1::ListVolumeBitmapsResponse> List(const v1::ListVolumeBitmapsRequest& request) {
    const int size = TRY(PageSize(request.page_size(), kDefaultPageSize));
    v1::ListVolumeBitmapsResponse response;
    for (v1::VolumeBitmap& bitmap : TRY(PageOf(
             TRY(verbs_.ListBitmaps(request.parent())),
             [](const v1::VolumeBitmap& one) { return one.name(); }, "bitmaps " + request.parent(), size,
             request.page_token(), response.mutable_next_page_token()))) {
      *response.add_bitmaps() = std::move(bitmap);
    }
    return response;
  }

  VolumeVerbs& verbs_;
};

}  // namespace

std::unique_ptr<grpc::Service> CreateVolumeService(VolumeVerbs& verbs) {
  return std::make_unique<VolumeService>(verbs);
}

}  // namespace berth::server

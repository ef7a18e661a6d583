// A daemon with pools, and calls of its volume service.
#pragma once

#include <set>
#include <string>

#include "tests/server/daemon/daemon_fixture.h"

namespace berth::server {

class VolumeFixture : public DaemonFixture {
 protected:
  static constexpr int64_t kMiB = 1 << 20;

  // Calls a method that answers at once.
  template <typename Request, typename Response>
  Result<Response> Call(grpc::Status (v1::VolumeService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                        Response*),
                        const Request& request) {
    grpc::ClientContext context;
    Response response;
    const grpc::Status status = (*volumes_.*method)(&context, request, &response);
    if (!status.ok()) return Fail(ErrorOf(status));
    return response;
  }
  // Calls one that starts an operation, and waits for that.
  template <typename Request>
  Result<v1::Volume> Make(grpc::Status (v1::VolumeService::Stub::*method)(grpc::ClientContext*,
                                                                          const Request&, Operation*),
                          const Request& request) {
    v1::Volume volume;
    EXPECT_TRUE(TRY(AwaitOperation(TRY(Call(method, request)))).response().UnpackTo(&volume));
    return volume;
  }

  static v1::CreateVolumeRequest NewVolume(const std::string& id, int64_t size_bytes,
                                           v1::Volume::Format format = v1::Volume::QCOW2,
                                           const std::string& base = "") {
    v1::CreateVolumeRequest request;
    request.set_parent("pools/main");
    request.set_volume_id(id);
    request.mutable_volume()->set_size_bytes(size_bytes);
    request.mutable_volume()->set_format(format);
    request.mutable_volume()->set_base(base.empty() ? "" : Name(base));
    return request;
  }
  Result<v1::Volume> CreateVolume(const v1::CreateVolumeRequest& request) {
    return Make(&v1::VolumeService::Stub::CreateVolume, request);
  }
  Result<v1::Volume> CreateVolume(const std::string& id, int64_t size_bytes,
                                  v1::Volume::Format format = v1::Volume::QCOW2,
                                  const std::string& base = "") {
    return CreateVolume(NewVolume(id, size_bytes, format, base));
  }
  Result<v1::Volume> GetVolume(const std::string& name) {
    v1::GetVolumeRequest request;
    request.set_name(name);
    return Call(&v1::VolumeService::Stub::GetVolume, request);
  }
  Status DeleteVolume(const std::string& name, bool allow_missing = false) {
    v1::DeleteVolumeRequest request;
    request.set_name(name);
    request.set_allow_missing(allow_missing);
    TRY(AwaitOperation(TRY(Call(&v1::VolumeService::Stub::DeleteVolume, request))));
    return Ok();
  }

  static std::string Name(const std::string& id, const std::string& pool = "main") {
    return "pools/" + pool + "/volumes/" + id;
  }
  std::string Pool(const std::string& pool = "main") const { return scratch_ / "pools/" + pool; }
  // All of them, hidden ones as well.
  std::set<std::string> FilesOf(const std::string& pool = "main") const {
    std::set<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(Pool(pool)))
      files.insert(entry.path().filename());
    return files;
  }

  // A guest with one disk, a volume of this name; not started.
  v1::CreateGuestRequest GuestWith(const std::string& id, const std::string& volume) const {
    v1::CreateGuestRequest request = Guest(id);
    request.set_start(false);
    request.mutable_guest()->mutable_spec()->add_disks()->set_volume(volume);
    return request;
  }
};

}  // namespace berth::server

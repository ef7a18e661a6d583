#include <grpcpp/server_context.h>

#include "berth/v1/guest_service.grpc.pb.h"
#include "server/api/call_limit.h"
#include "server/api/console_stream.h"
#include "server/api/filter.h"
#include "server/api/grpc_status.h"
#include "server/api/paging.h"
#include "server/api/services.h"
#include "server/api/unknown_fields.h"
#include "server/guest/inspect.h"
#include "server/guest/placement_advice.h"
#include "server/guest/screenshot.h"

namespace berth::server {
namespace {

constexpr int kDefaultPageSize = 50;
constexpr int kMaxConsoles = 64;
constexpr std::string_view kLabels = "labels.";

bool IsGuestField(std::string_view field) {
  return field == "name" || field == "state" || field == "uid" || field.starts_with(kLabels);
}

std::string GuestField(const v1::Guest& guest, std::string_view field) {
  if (field == "name") return guest.name();
  if (field == "uid") return guest.uid();
  if (field == "state") return v1::Guest::State_Name(guest.state());
  const auto label = guest.labels().find(std::string(field.substr(kLabels.size())));
  return label == guest.labels().end() ? "" : label->second;
}

class GuestService final
    : public v1::GuestService::WithCallbackMethod_StreamConsole<v1::GuestService::Service> {
 public:
  GuestService(Engine& engine, GuestVerbs& verbs, VolumeVerbs& volumes)
      : engine_(engine), verbs_(verbs), volumes_(volumes) {}

  grpc::Status CreateGuest(grpc::ServerContext*, const v1::CreateGuestRequest* request,
                           Operation* response) override {
    return Respond(Checked(*request, &GuestVerbs::Create), response);
  }

  grpc::Status GetGuest(grpc::ServerContext*, const v1::GetGuestRequest* request,
                        v1::Guest* response) override {
    return Respond(engine_.book.Find(request->name()).map([](const GuestPtr& guest) { return guest->Get(); }),
                   response);
  }

  grpc::Status ListGuests(grpc::ServerContext*, const v1::ListGuestsRequest* request,
                          v1::ListGuestsResponse* response) override {
    return Respond(List(*request), response);
  }

  grpc::Status UpdateGuest(grpc::ServerContext*, const v1::UpdateGuestRequest* request,
                           v1::Guest* response) override {
    return Respond(Checked(*request, &GuestVerbs::Update), response);
  }

  grpc::Status DeleteGuest(grpc::ServerContext*, const v1::DeleteGuestRequest* request,
                           Operation* response) override {
    return Respond(Checked(*request, &GuestVerbs::Delete), response);
  }

  grpc::Status StartGuest(grpc::ServerContext*, const v1::StartGuestRequest* request,
                          Operation* response) override {
    return Respond(Checked(*request, &GuestVerbs::Start), response);
  }

  grpc::Status StopGuest(grpc::ServerContext*, const v1::StopGuestRequest* request,
                         Operation* response) override {
    return Respond(Checked(*request, &GuestVerbs::Stop), response);
  }

  grpc::Status AdvisePlacement(grpc::ServerContext*, const v1::AdvisePlacementRequest* request,
                               v1::AdvisePlacementResponse* response) override {
    return Respond(Advise(*request), response);
  }

  grpc::Status ResetGuest(grpc::ServerContext*, const v1::ResetGuestRequest* request,
                          v1::Guest* response) override {
    return Respond(verbs_.Press(request->name(), true), response);
  }

  grpc::Status PowerButtonGuest(grpc::ServerContext*, const v1::PowerButtonGuestRequest* request,
                                v1::Guest* response) override {
    return Respond(verbs_.Press(request->name(), false), response);
  }

  grpc::Status AttachDevice(grpc::ServerContext*, const v1::AttachDeviceRequest* request,
                            Operation* response) override {
    return Respond(Checked(*request, &GuestVerbs::Attach), response);
  }

  grpc::Status DetachDevice(grpc::ServerContext*, const v1::DetachDeviceRequest* request,
                            Operation* response) override {
    return Respond(Checked(*request, &GuestVerbs::Detach), response);
  }

  grpc::Status SnapshotDisk(grpc::ServerContext*, const v1::SnapshotDiskRequest* request,
                            Operation* response) override {
    return Respond(Checked(*request, &VolumeVerbs::SnapshotDisk), response);
  }

  grpc::Status StreamDisk(grpc::ServerContext*, const v1::StreamDiskRequest* request,
                          Operation* response) override {
    return Respond(Checked(*request, &VolumeVerbs::StreamDisk), response);
  }

  grpc::Status CommitDisk(grpc::ServerContext*, const v1::CommitDiskRequest* request,
                          Operation* response) override {
    return Respond(Checked(*request, &VolumeVerbs::CommitDisk), response);
  }

  grpc::Status MirrorDisk(grpc::ServerContext*, const v1::MirrorDiskRequest* request,
                          Operation* response) override {
    return Respond(Checked(*request, &VolumeVerbs::MirrorDisk), response);
  }

  grpc::Status CaptureScreenshot(grpc::ServerContext*, const v1::CaptureScreenshotRequest* request,
                                 v1::CaptureScreenshotResponse* response) override {
    return Respond(server::CaptureScreenshot(engine_, *request), response);
  }

  grpc::Status ReadCounters(grpc::ServerContext*, const v1::ReadCountersRequest* request,
                            v1::ReadCountersResponse* response) override {
    return Respond(server::ReadCounters(engine_, *request), response);
  }

  grpc::Status TraceGuest(grpc::ServerContext*, const v1::TraceGuestRequest* request,
                          v1::TraceGuestResponse* response) override {
    return Respond(server::TraceGuest(engine_, *request), response);
  }

  ConsoleReactor* StreamConsole(grpc::CallbackServerContext*) override {
    return StartConsoleStream(engine_, consoles_.Take());
  }

 private:
  template <typename Request, typename Response>
  Result<Response> Checked(const Request& request, Result<Response> (GuestVerbs::*verb)(const Request&)) {
    TRY(RefuseUnknownFields(request));
    return (verbs_.*verb)(request);
  }

  template <typename Request>
  Result<Operation> Checked(const Request& request, Result<Operation> (VolumeVerbs::*verb)(const Request&)) {
    TRY(RefuseUnknownFields(request));
    return (volumes_.*verb)(request);
  }

  Result<v1::AdvisePlacementResponse> Advise(const v1::AdvisePlacementRequest& request) {
    TRY(RefuseUnknownFields(request));
    return server::AdvisePlacement(engine_, request);
  }

  Result<v1::ListGuestsResponse> List(const v1::ListGuestsRequest& request) {
    const int size = TRY(PageSize(request.page_size(), kDefaultPageSize));
    const Filter filter = TRY(Filter::Parse(request.filter(), IsGuestField));
    std::vector<v1::Guest> guests;
    for (const GuestPtr& entry : engine_.book.All()) {
      v1::Guest guest = entry->Get();
      if (filter.Matches([&](std::string_view field) { return GuestField(guest, field); })) {
        guests.push_back(std::move(guest));
      }
    }
    v1::ListGuestsResponse response;
    for (v1::Guest& guest : TRY(PageOf(
             std::move(guests), [](const v1::Guest& one) { return one.name(); }, "guests " + request.filter(),
             size, request.page_token(), response.mutable_next_page_token()))) {
      *response.add_guests() = std::move(guest);
    }
    return response;
  }

  Engine& engine_;
  GuestVerbs& verbs_;
  VolumeVerbs& volumes_;
  CallLimit consoles_{kMaxConsoles};
};

}  // namespace

std::unique_ptr<grpc::Service> CreateGuestService(Engine& engine, GuestVerbs& verbs, VolumeVerbs& volumes) {
  return std::make_unique<GuestService>(engine, verbs, volumes);
}

}  // namespace berth::server

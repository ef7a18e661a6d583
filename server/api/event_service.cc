#include <grpcpp/server_context.h>

#include "berth/v1/event_service.grpc.pb.h"
#include "server/api/call_limit.h"
#include "server/api/grpc_status.h"
#include "server/api/services.h"

namespace berth::server {
namespace {

constexpr int kMaxWatchers = 64;
// How soon a watcher that has gone is noticed.
constexpr std::chrono::milliseconds kLookTime{250};

class EventService final : public v1::EventService::Service {
 public:
  explicit EventService(EventLog& events) : events_(events) {}

  grpc::Status WatchEvents(grpc::ServerContext* context, const v1::WatchEventsRequest* request,
                           grpc::ServerWriter<v1::Event>* writer) override {
    const auto place = watchers_.Take();
    if (!place) return ToGrpcStatus(place.error());
    Result<uint64_t> next = events_.Resume(request->resume_token());
    if (!next) return ToGrpcStatus(next.error());
    // So that the caller knows that it misses nothing from here on.
    writer->SendInitialMetadata();
    while (!context->IsCancelled()) {
      const auto events = events_.Read(&*next, kLookTime);
      if (!events) return ToGrpcStatus(events.error());
      for (const v1::Event& event : *events) {
        if (!request->guest().empty() && event.guest() != request->guest()) continue;
        if (!writer->Write(event)) return grpc::Status::CANCELLED;
      }
    }
    return grpc::Status::CANCELLED;
  }

 private:
  EventLog& events_;
  CallLimit watchers_{kMaxWatchers};
};

}  // namespace

std::unique_ptr<grpc::Service> CreateEventService(EventLog& events) {
  return std::make_unique<EventService>(events);
}

}  // namespace berth::server

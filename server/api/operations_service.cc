#include <charconv>

#include <google/protobuf/util/time_util.h>
#include <grpcpp/server_context.h>

#include "google/longrunning/operations.grpc.pb.h"
#include "server/api/call_limit.h"
#include "server/api/grpc_status.h"
#include "server/api/paging.h"
#include "server/api/services.h"

namespace berth::server {
namespace {

namespace lro = google::longrunning;

constexpr int kDefaultPageSize = 50;
constexpr int kMaxWaiters = 64;
// Without a time-out of the caller's: the deadline of its call is what counts.
constexpr std::chrono::minutes kLongestWait{10};
constexpr std::chrono::milliseconds kLookTime{500};
constexpr char kQuery[] = "operations";

class OperationsService final : public lro::Operations::Service {
 public:
  OperationsService(OperationRunner& runner, OperationTable& table) : runner_(runner), table_(table) {}

  grpc::Status GetOperation(grpc::ServerContext*, const lro::GetOperationRequest* request,
                            Operation* response) override {
    return Respond(runner_.Get(request->name()), response);
  }

  grpc::Status ListOperations(grpc::ServerContext*, const lro::ListOperationsRequest* request,
                              lro::ListOperationsResponse* response) override {
    return Respond(List(*request), response);
  }

  grpc::Status DeleteOperation(grpc::ServerContext*, const lro::DeleteOperationRequest* request,
                               google::protobuf::Empty*) override {
    const Status removed = table_.Remove(request->name());
    return removed ? grpc::Status::OK : ToGrpcStatus(removed.error());
  }

  grpc::Status CancelOperation(grpc::ServerContext*, const lro::CancelOperationRequest* request,
                               google::protobuf::Empty*) override {
    const Status cancelled = runner_.Cancel(request->name());
    return cancelled ? grpc::Status::OK : ToGrpcStatus(cancelled.error());
  }

  grpc::Status WaitOperation(grpc::ServerContext* context, const lro::WaitOperationRequest* request,
                             Operation* response) override {
    const auto place = waiters_.Take();
    if (!place) return ToGrpcStatus(place.error());
    std::chrono::milliseconds timeout = kLongestWait;
    if (request->has_timeout()) {
      const int64_t asked = google::protobuf::util::TimeUtil::DurationToMilliseconds(request->timeout());
      timeout = std::clamp(std::chrono::milliseconds(asked), std::chrono::milliseconds(0), timeout);
    }
    const auto until = std::chrono::steady_clock::now() + timeout;
    while (true) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
      const auto wait = std::clamp(left, std::chrono::milliseconds(0), kLookTime);
      Result<Operation> operation = runner_.Wait(request->name(), wait);
      if (!operation || operation->done() || left <= kLookTime || context->IsCancelled()) {
        return Respond(std::move(operation), response);
      }
    }
  }

 private:
  Result<lro::ListOperationsResponse> List(const lro::ListOperationsRequest& request) {
    const int size = TRY(PageSize(request.page_size(), kDefaultPageSize));
    if (!request.filter().empty()) {
      return Fail(Error(Code::kUnimplemented, "operations cannot be filtered").Field("filter"));
    }
    int64_t before = INT64_MAX;
    std::string after;
    if (!request.page_token().empty()) {
      const std::string position = TRY(ReadPageToken(kQuery, request.page_token()));
      const size_t space = position.find(' ');
      std::from_chars(position.data(), position.data() + std::min(space, position.size()), before);
      if (space != std::string::npos) after = position.substr(space + 1);
    }
    lro::ListOperationsResponse response;
    const auto page = TRY(table_.List(before, after, size + 1));
    for (const StoredOperation& stored : page) {
      if (response.operations_size() == size) {
        response.set_next_page_token(MakePageToken(kQuery, fmt::format("{} {}", before, after)));
        break;
      }
      before = stored.create_time_us;
      after = stored.operation.name();
      *response.add_operations() = stored.operation;
    }
    return response;
  }

  OperationRunner& runner_;
  OperationTable& table_;
  CallLimit waiters_{kMaxWaiters};
};

}  // namespace

std::unique_ptr<grpc::Service> CreateOperationsService(OperationRunner& runner, OperationTable& table) {
  return std::make_unique<OperationsService>(runner, table);
}

}  // namespace berth::server

#include "server/guest/inspect.h"

#include "proto/error_details.h"
#include "server/guest/running_vmm.h"

namespace berth::server {
namespace {

constexpr size_t kMaxPatternBytes = 256;
// What a VMM may make us tell a caller.
constexpr int kMaxCounters = 4096;
constexpr size_t kMaxCounterNameBytes = 128;

}  // namespace

Result<v1::ReadCountersResponse> ReadCounters(Engine& engine, const v1::ReadCountersRequest& request) {
  const std::shared_ptr<Vmm> vmm = TRY(RunningVmm(engine, request.name()));
  control::Request question;
  question.mutable_read_counters();
  const control::Reply reply = TRY(vmm->Call(std::move(question)));
  v1::ReadCountersResponse response;
  for (const control::Counters::Counter& counter : reply.counters().counters()) {
    if (response.counters_size() == kMaxCounters) break;
    v1::ReadCountersResponse::Counter* told = response.add_counters();
    told->set_name(Printable(counter.name(), kMaxCounterNameBytes));
    told->set_value(counter.value());
  }
  return response;
}

Result<v1::TraceGuestResponse> TraceGuest(Engine& engine, const v1::TraceGuestRequest& request) {
  const std::string& pattern = request.pattern();
  if (pattern.empty() || pattern.size() > kMaxPatternBytes) {
    return Fail(Error(Code::kInvalidArgument,
                      fmt::format("a trace pattern has 1 to {} bytes, as \"hw/virtio/*\"", kMaxPatternBytes))
                    .Reason("BAD_TRACE_PATTERN")
                    .Field("pattern"));
  }
  const std::shared_ptr<Vmm> vmm = TRY(RunningVmm(engine, request.name()));
  control::Request question;
  question.mutable_enable_trace()->set_pattern(pattern);
  question.mutable_enable_trace()->set_enabled(!request.disable());
  const control::Reply reply = TRY(vmm->Call(std::move(question)));
  if (reply.traced().matched() == 0) {
    return Fail(Error(Code::kNotFound, fmt::format("no trace event of the monitor matches \"{}\"; events are "
                                                   "named ROOM/EVENT, and \"*\" matches all",
                                                   pattern))
                    .Reason("TRACE_EVENT_NOT_FOUND")
                    .With("pattern", pattern));
  }
  v1::TraceGuestResponse response;
  response.set_matched(static_cast<int32_t>(reply.traced().matched()));
  return response;
}

}  // namespace berth::server

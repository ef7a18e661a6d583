#include "server/guest/event_log.h"

#include <charconv>

#include <google/protobuf/util/time_util.h>

#include "mdev/mdev.h"

namespace berth::server {
namespace {

Error Lost() {
  return Error(Code::kOutOfRange, "events were lost: list again, then watch from now on")
      .Reason("EVENTS_LOST");
}

}  // namespace

EventLog::EventLog() : life_(mdev::NewUuid().substr(0, 8)) {}

void EventLog::Publish(v1::Event event) {
  *event.mutable_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
  MutexLock lock(mutex_);
  event.set_resume_token(fmt::format("{}-{}", life_, first_ + events_.size()));
  events_.push_back(std::move(event));
  if (events_.size() > kCapacity) {
    events_.pop_front();
    ++first_;
  }
  published_.notify_all();
}

Result<uint64_t> EventLog::Resume(const std::string& token) {
  MutexLock lock(mutex_);
  if (token.empty()) return first_ + events_.size();
  const size_t dash = std::min(token.find('-'), token.size() - 1);
  uint64_t number = 0;
  const char* const end = token.data() + token.size();
  const auto parsed = std::from_chars(token.data() + dash + 1, end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) {
    return Fail(Error(Code::kInvalidArgument, fmt::format("\"{}\" is no resume token", token))
                    .Reason("BAD_RESUME_TOKEN")
                    .Field("resume_token"));
  }
  if (token.substr(0, dash) != life_ || number >= first_ + events_.size()) return Fail(Lost());
  return number + 1;
}

Result<std::vector<v1::Event>> EventLog::Read(uint64_t* next, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  while (*next >= first_ + events_.size()) {
    if (!lock.WaitUntil(published_, deadline)) return std::vector<v1::Event>();
  }
  if (*next < first_) return Fail(Lost());
  std::vector<v1::Event> events(events_.begin() + static_cast<long>(*next - first_), events_.end());
  *next += events.size();
  return events;
}

}  // namespace berth::server

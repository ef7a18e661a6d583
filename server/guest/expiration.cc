#include "server/guest/expiration.h"

#include <google/protobuf/util/time_util.h>

#include "server/guest/field_error.h"
#include "server/guest/state.h"

namespace berth::server {
namespace {

constexpr int64_t kMaxSeconds = int64_t{30} * 24 * 3600;
constexpr int32_t kMaxNanos = 999'999'999;

}  // namespace

Status SettleExpiration(const google::protobuf::Timestamp& now, v1::Guest* guest) {
  if (guest->has_ttl()) {
    const google::protobuf::Duration ttl = guest->ttl();
    if (ttl.seconds() < 1 || ttl.seconds() > kMaxSeconds || ttl.nanos() < 0 || ttl.nanos() > kMaxNanos)
      return BadPath("guest.ttl", "is not between 1 s and 30 days");
    *guest->mutable_expire_time() = now + ttl;
  } else if (guest->has_expire_time()) {
    const google::protobuf::Timestamp& time = guest->expire_time();
    const bool valid = time.seconds() >= 0 && time.nanos() >= 0 && time.nanos() <= kMaxNanos;
    if (!valid || time <= now || time.seconds() - now.seconds() > kMaxSeconds)
      return BadPath("guest.expire_time", "is not within the next 30 days");
  }
  return Ok();
}

bool IsExpired(const v1::Guest& guest, const google::protobuf::Timestamp& now) {
  return guest.has_expire_time() && guest.expire_time() <= now && !IsActive(guest.state()) &&
         guest.state() != v1::Guest::DELETING;
}

}  // namespace berth::server

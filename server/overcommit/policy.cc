#include "server/overcommit/policy.h"

namespace berth::server {
namespace {

tl::unexpected<Error> BadPolicy(const char* field, std::string message) {
  return Fail(Error(Code::kInvalidArgument, std::move(message)).Reason("BAD_POLICY").Field(field));
}

Status CheckPercent(const char* field, int value) {
  if (value >= 0 && value <= 100) return Ok();
  return BadPolicy(field, fmt::format("{} is no percentage from 0 to 100", value));
}

Status CheckLimit(const char* field, int limit, int reservation) {
  if (limit == 0 || limit >= reservation) return Ok();
  return BadPolicy(field, fmt::format("a limit of {}% is below the reservation of {}%", limit, reservation));
}

}  // namespace

Status CheckGuestPolicy(const GuestPolicy& policy) {
  TRY(CheckPercent("cpu-reservation-percent", policy.cpu_reservation_percent));
  TRY(CheckPercent("cpu-limit-percent", policy.cpu_limit_percent));
  TRY(CheckPercent("memory-reservation-percent", policy.memory_reservation_percent));
  TRY(CheckPercent("memory-limit-percent", policy.memory_limit_percent));
  TRY(CheckLimit("cpu-limit-percent", policy.cpu_limit_percent, policy.cpu_reservation_percent));
  TRY(CheckLimit("memory-limit-percent", policy.memory_limit_percent, policy.memory_reservation_percent));
  if (policy.cpu_shares < 1 || policy.cpu_shares > kMaxCpuShares) {
    return BadPolicy("cpu-shares",
                     fmt::format("{} is no number of shares from 1 to {}; a guest with none would "
                                 "never run beside others",
                                 policy.cpu_shares, kMaxCpuShares));
  }
  return Ok();
}

}  // namespace berth::server

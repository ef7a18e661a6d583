// Guests that are deleted unless they are started in time: AIP-214.
#pragma once

#include "base/error.h"
#include "berth/v1/guest.pb.h"

namespace berth::server {

// Turns a request's `ttl` into `expire_time`. INVALID_ARGUMENT for a time that is over, or more than 30 days
// ahead.
Status SettleExpiration(const google::protobuf::Timestamp& now, v1::Guest* guest);

// Whether it is to go: its time is over, and it does not run.
bool IsExpired(const v1::Guest& guest, const google::protobuf::Timestamp& now);

}  // namespace berth::server

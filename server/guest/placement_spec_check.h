// Whether what a guest's owner says about its place makes sense by itself, whatever the host is like.
#pragma once

#include "base/error.h"
#include "berth/v1/guest_spec.pb.h"

namespace berth::server {

// INVALID_ARGUMENT, INVALID_FIELD, with the field's path.
Status CheckPlacementSpec(const v1::GuestSpec& spec);

}  // namespace berth::server

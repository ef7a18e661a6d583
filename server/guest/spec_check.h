// Whether a GuestSpec makes sense by itself, whatever the host is like.
#pragma once

#include <string>

#include "base/error.h"
#include "berth/v1/guest.pb.h"

namespace berth::server {

// RFC 1034's labels, as AIP-122 wants ids: 1 to 63 of a-z, 0-9 and '-', a letter first, no '-' last.
// INVALID_ARGUMENT, BAD_GUEST_ID.
Status CheckGuestId(const std::string& id);
// INVALID_ARGUMENT, BAD_LABELS.
Status CheckLabels(const v1::Guest& guest);
// INVALID_ARGUMENT with the field's path ("guest.spec.cpus.vcpu_count"): INVALID_FIELD or REQUIRED_FIELD.
Status CheckSpec(const v1::GuestSpec& spec);

// Bytes of memory of all guest nodes.
int64_t MemorySize(const v1::GuestSpec& spec);

}  // namespace berth::server

// What a guest's owner says of overcommitment, over what the host's configuration says.
#pragma once

#include "base/error.h"
#include "berth/v1/guest_spec.pb.h"
#include "server/overcommit/overhead.h"
#include "server/overcommit/policy.h"

namespace berth::server {

// What is set in the spec, else as `defaults`.
GuestPolicy PolicyOf(const v1::ResourcePolicySpec& spec, const GuestPolicy& defaults);

// What decides how much its monitor and its page tables take.
GuestSize SizeOf(const v1::GuestSpec& spec);

// Whether the guest's memory can be merged with others': nothing is in huge pages or within reach of DMA, now
// or when a device is attached.
bool CanMerge(const v1::GuestSpec& spec);

// Whether it makes sense by itself. INVALID_ARGUMENT, INVALID_FIELD with the field's path.
Status CheckResourcePolicy(const v1::GuestSpec& spec);
// Whether it does together with the host's. INVALID_ARGUMENT, BAD_POLICY with the field's path.
Status CheckPolicyOf(const v1::GuestSpec& spec, const GuestPolicy& defaults);

}  // namespace berth::server

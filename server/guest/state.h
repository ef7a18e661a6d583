// What may be done with a guest in which state.
#pragma once

#include "base/error.h"
#include "berth/v1/guest.pb.h"

namespace berth::server {

enum class Verb {
  kUpdateSpec,
  kStart,
  kStop,
  kReset,
  kPowerButton,
  kConsole,
  kAttach,
  kDetach,
  kChangeDisk,
  kDelete,
  kForceDelete
};

// FAILED_PRECONDITION: GUEST_RUNNING or GUEST_NOT_RUNNING.
Status CheckTransition(const v1::Guest& guest, Verb verb);

// Whether a machine may exist.
bool IsActive(v1::Guest::State state);

}  // namespace berth::server

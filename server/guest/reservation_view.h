// A guest's reservation as the API shows it, and as it is found again after the daemon was away.
#pragma once

#include "berth/v1/guest.pb.h"
#include "server/placement/ledger.h"

namespace berth::server {

v1::HostReservation ToHostReservation(const Reservation& reservation);
// Of a guest that was stored while it ran.
Reservation ToReservation(const v1::Guest& guest);

}  // namespace berth::server

// HostEffects over the host itself.
#pragma once

#include <memory>

#include "host/control/control.h"
#include "net/host/vf.h"
#include "server/guest/host_effects.h"
#include "server/guest/mdev_quota.h"

namespace berth::server {

// Borrows what `control` borrows.
std::unique_ptr<HostEffects> CreateRealHost(host::HostControl control, std::unique_ptr<net::VfPort> vf_port,
                                            MdevQuotas mdev_quotas);

}  // namespace berth::server

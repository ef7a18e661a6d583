// Opens what a plan says a VMM is to have.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "server/guest/executor.h"
#include "server/guest/host_effects.h"
#include "server/guest/launch_plan.h"

namespace berth::server {

// In the order of the plan's indices. Takes tap queues from `results`. Fills in of `build` what is known only
// now: the names of VFIO devices, and that devices of one group share the first one's descriptor, and what
// images stand on, whose descriptors come after those of the plan.
Result<std::vector<UniqueFd>> OpenDescriptors(HostEffects& host, const std::vector<Descriptor>& descriptors,
                                              StepResults& results, berth::vmm::v1::Build* build);

// Adds the descriptors of what an image stands on, and of its data file, to those that go along with the
// message that has `block`; the image's own is there already, and gone from `layers`.
void AddBeneath(std::vector<ImageFiles> layers, std::vector<UniqueFd>* fds,
                berth::vmm::v1::BlockDevice* block);

}  // namespace berth::server

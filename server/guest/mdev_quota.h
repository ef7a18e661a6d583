// How many mediated devices, or vGPUs, of a type the host may have: for those who sell fewer than their cards
// could make. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "host/snapshot.h"

namespace berth::server {

// By type; on all parents together.
using MdevQuotas = std::map<std::string, int>;

// Each "nvidia-558=4". INVALID_ARGUMENT, BAD_OPTION.
Result<MdevQuotas> ParseMdevQuotas(const std::vector<std::string>& texts);

// Lets no more be available than the quotas leave beside those that are there, whoever made them.
void ApplyMdevQuotas(const MdevQuotas& quotas, host::HostSnapshot* host);

}  // namespace berth::server

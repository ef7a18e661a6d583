// Guests as they are printed.
#pragma once

#include <iosfwd>
#include <vector>

#include "berth/v1/guest.pb.h"
#include "cli/output.h"

namespace berth::cli {

// A line a guest.
void PrintGuests(std::ostream& out, OutputFormat format, const std::vector<berth::v1::Guest>& guests);
// All there is to know of one.
void PrintGuest(std::ostream& out, OutputFormat format, const berth::v1::Guest& guest);

std::string StateName(berth::v1::Guest::State state);  // "RUNNING"

}  // namespace berth::cli

// Names of guests as the API has them: "guests/web" is the guest with the id "web".
#pragma once

#include <string>
#include <string_view>

namespace berth {

inline constexpr std::string_view kGuestsCollection = "guests/";

// The id in a name; of what is no such name, all of it.
inline std::string GuestIdOf(std::string_view name) {
  if (name.starts_with(kGuestsCollection)) name.remove_prefix(kGuestsCollection.size());
  return std::string(name);
}

}  // namespace berth

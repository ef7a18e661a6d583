// Names of pools, volumes and what is inside those as the API has them:
// "pools/fast/volumes/web/snapshots/before-upgrade".
#pragma once

#include <string_view>

namespace berth {

inline constexpr std::string_view kPoolsCollection = "pools/";
// Behind the name of what they are in.
inline constexpr std::string_view kVolumesCollection = "/volumes/", kSnapshotsCollection = "/snapshots/",
                                  kBitmapsCollection = "/bitmaps/";

}  // namespace berth

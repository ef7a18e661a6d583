// Names of pools and volumes as the API has them, and of volumes' files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "proto/volume_name.h"

namespace berth::server {

// RFC 1034's labels, as AIP-122 wants ids: 1 to 63 of a-z, 0-9 and '-', a letter first, no '-' last.
bool IsResourceId(std::string_view id);

std::string PoolName(std::string_view pool);  // "pools/fast"
// The id in it; nothing if it is no such name.
std::optional<std::string> ParsePoolName(std::string_view name);

// "pools/fast/volumes/web"
struct VolumeName {
  std::string pool;
  std::string id;

  static std::optional<VolumeName> Parse(std::string_view name);
  std::string ToString() const;
};

struct VolumeFacts {
  uint64_t size_bytes = 0;
  uint64_t allocated_bytes = 0;
};

// What a volume has inside it.
template <const std::string_view& kCollection>
struct NameInVolume {
  VolumeName volume;
  std::string id;

  static std::optional<NameInVolume> Parse(std::string_view name) {
    const size_t middle = name.find(kCollection);
    if (middle == name.npos) return std::nullopt;
    auto volume = VolumeName::Parse(name.substr(0, middle));
    const std::string_view id = name.substr(middle + kCollection.size());
    if (!volume || !IsResourceId(id)) return std::nullopt;
    return NameInVolume{.volume = *std::move(volume), .id = std::string(id)};
  }
  std::string ToString() const { return volume.ToString().append(kCollection).append(id); }
};
using SnapshotName = NameInVolume<kSnapshotsCollection>;  // "pools/fast/volumes/web/snapshots/before-upgrade"
using BitmapName = NameInVolume<kBitmapsCollection>;      // "pools/fast/volumes/web/bitmaps/monday"

// The name of a volume's file says what the volume is: "web.raw", "web.qcow2", or "web@debian.qcow2", which
// stands on the volume "debian". Its content is not asked: a guest writes to its disk what it likes, and who
// has taken over a monitor could write to an image's metadata as well.
struct VolumeFile {
  std::string id;
  std::string base;    // Empty: it stands alone.
  std::string format;  // As the block layer calls it: "raw", "qcow2".
  // Where the pool knows it without looking at the volume.
  std::optional<VolumeFacts> facts{};

  // Nothing for a file that is no volume.
  static std::optional<VolumeFile> Parse(std::string_view file_name);
  std::string ToString() const;
};

}  // namespace berth::server

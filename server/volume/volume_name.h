// Names of pools and volumes as the API has them, and of volumes' files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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

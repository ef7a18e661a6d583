// What lvm2's program prints, and the names in it: what is read makes sense, and our names are written as
// they were read.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "server/volume/lvm_report.h"
#include "server/volume/thin_name.h"
#include "server/volume/volume_name.h"

using namespace berth::server;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const auto volumes = ParseLvmReport({reinterpret_cast<const char*>(bytes), size});
  if (!volumes) {
    CHECK(!volumes.error().reason().empty());
    return 0;
  }
  for (const LogicalVolume& volume : *volumes) {
    CHECK(volume.size_bytes <= INT64_MAX);
    CHECK(volume.data_percent >= 0 && volume.data_percent <= 100);
    CHECK(volume.metadata_percent >= 0 && volume.metadata_percent <= 100);
    const auto name = ThinName::Parse(volume.name);
    if (!name) continue;
    CHECK(IsResourceId(name->volume));
    CHECK(name->ToString() == volume.name);
  }
  return 0;
}

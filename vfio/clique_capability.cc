#include "vfio/clique_capability.h"

#include <algorithm>

#include "base/bytes.h"
#include "hw/pci/pci_registers.h"

namespace berth::vfio {
namespace {

namespace pci = hw::pci;
constexpr uint16_t kNvidia = 0x10de;
constexpr uint8_t kDisplayClass = 0x03;
constexpr uint8_t kSize = 8;
// The first is kept free for it, but for later GPUs, which have MSI-X there.
constexpr uint16_t kPlaces[] = {0xc8, 0xd4};

bool IsFree(std::span<const Capability> present, uint16_t place) {
  return std::none_of(present.begin(), present.end(), [&](const Capability& one) {
    return Range{one.offset, MinimumSize(one.id)}.Overlaps({place, kSize});
  });
}

}  // namespace

Result<Capability> AddCliqueCapability(std::span<const uint8_t> config, std::span<const Capability> present,
                                       unsigned clique, ConfigOverlay* overlay) {
  CHECK(clique <= kMaxClique);
  if (LoadLe<uint16_t>(&config[pci::kVendorId]) != kNvidia || config[pci::kClassCode + 2] != kDisplayClass) {
    return Fail(
        Error(Code::kFailedPrecondition, "it is no GPU of NVIDIA's, which alone know GPUDirect cliques")
            .Reason("NOT_AN_NVIDIA_GPU"));
  }
  for (const uint16_t place : kPlaces) {
    if (!IsFree(present, place)) continue;
    const uint8_t contents[] = {kSize, 'P', '2', 'P', static_cast<uint8_t>(clique << 3), 0};
    for (size_t i = 0; i < std::size(contents); ++i) {
      overlay->Emulate<uint8_t>(static_cast<uint16_t>(place + 2 + i), 0xff, contents[i]);
    }
    return Capability{pci::kCapVendor, place};
  }
  return Fail(Error(Code::kFailedPrecondition, "its configuration space has no room for the GPUDirect clique")
                  .Reason("NO_ROOM_FOR_CLIQUE"));
}

}  // namespace berth::vfio

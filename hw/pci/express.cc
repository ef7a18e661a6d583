#include "hw/pci/express.h"

namespace berth::hw {
namespace {

constexpr uint16_t kVersion2 = 2;
constexpr uint32_t kRoleBasedErrors = 1 << 15, kFunctionLevelReset = 1 << 28;
constexpr uint32_t kLink1Lane2500 = 1 << 4 | 1;  // One lane at 2.5 GT/s.
constexpr uint16_t kDeviceControl = 0x08, kInitiateReset = 1 << 15;

}  // namespace

uint16_t AddExpressEndpoint(ConfigSpace* config) {
  std::array<uint8_t, 58> body{};  // Offsets in the specification count the two bytes before it.
  StoreLe<uint16_t>(&body[0x02 - 2], static_cast<uint16_t>(kVersion2 | pci::kExpressEndpoint << 4));
  StoreLe<uint32_t>(&body[0x04 - 2], kRoleBasedErrors | kFunctionLevelReset);
  StoreLe<uint32_t>(&body[0x0c - 2], kLink1Lane2500);
  StoreLe<uint16_t>(&body[0x12 - 2], kLink1Lane2500);
  StoreLe<uint32_t>(&body[0x2c - 2], 1 << 1);
  const uint16_t at = config->AddCapability(pci::kCapExpress, body);
  // Error reporting, relaxed ordering, payload and request sizes, no snoop; kept for the guest, without
  // effect.
  config->SetWritable<uint16_t>(at + kDeviceControl, 0x78ff | kInitiateReset);
  config->SetWritable<uint16_t>(at + 0x10, 0x01c3);
  return at;
}

bool TakeFunctionLevelReset(ConfigSpace* config, uint16_t express) {
  const uint16_t at = express + kDeviceControl;
  const auto control = config->Get<uint16_t>(at);
  config->Set<uint16_t>(at, control & ~kInitiateReset);
  return (control & kInitiateReset) != 0;
}

}  // namespace berth::hw

// Texts that the host side reads: kernel lists, addresses, pci.ids, stored records. What is accepted must
// come back the same when it is written and read again.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "host/control/cgroup.h"
#include "host/control/page_location.h"
#include "host/control/record.h"
#include "host/cpu_set.h"
#include "host/mdev_definition.h"
#include "host/module_aliases.h"
#include "host/pci_address.h"
#include "host/pci_names.h"
#include "host/uevent.h"
#include "host/vendor_vgpu.h"
#include "host/vpd.h"
#include "mdev/mdev.h"
#include "mdev/vgpu_type.h"
#include "net/host/mac_address.h"
#include "net/host/vf.h"
#include "vfio/bind/driver.h"

namespace {

template <typename T>
void RoundTrip(std::string_view text) {
  const auto value = T::Parse(text);
  if (value) CHECK(T::Parse(value->ToString()).value() == *value);
}

template <typename Change>
void RecordRoundTrip(std::string_view text) {
  const auto change = berth::host::Decode<Change>(text);
  if (change) CHECK(berth::host::Decode<Change>(berth::host::Encode(*change)).value() == *change);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  switch (bytes[0] % 15) {
    case 0:
      RoundTrip<berth::host::CpuSet>(text);
      break;
    case 1:
      RoundTrip<berth::host::PciAddress>(text);
      break;
    case 2:
      RoundTrip<berth::net::MacAddress>(text);
      break;
    case 3:
      (void)berth::host::PciNames::Parse(text);
      break;
    case 4:
      (void)berth::mdev::ParseUuid(std::string(text));
      break;
    case 5:
      RecordRoundTrip<berth::host::CgroupChange>(text);
      break;
    case 6:
      RecordRoundTrip<berth::net::VfChange>(text);
      break;
    case 7:
      (void)berth::host::ModuleAliases::Parse(text).VfioDriverFor({.vendor_id = 0x15b3});
      break;
    case 8:
      (void)berth::host::ParseUevent(text);
      break;
    case 9:
      (void)berth::host::ParseVgpuTypes(text);
      break;
    case 10:
      (void)berth::host::ParseVpd({bytes + 1, size - 1});
      break;
    case 11:
      (void)berth::host::ParseMdevDefinition("7c0c6c05-0d00-4007-9c5a-b07b0c6c05de", "mtty", text);
      break;
    case 12:
      RecordRoundTrip<berth::mdev::VgpuTypeChange>(text);
      break;
    case 14:
      (void)berth::host::ParseMappings(text);
      break;
    default:
      RecordRoundTrip<berth::vfio::DriverChange>(text);
      break;
  }
  return 0;
}

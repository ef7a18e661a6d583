#include "host/pci_address.h"

#include <charconv>
#include <optional>

namespace berth::host {
namespace {

// Exactly `least` to `most` hexadecimal digits.
std::optional<uint32_t> ParseHex(std::string_view digits, size_t least, size_t most) {
  uint32_t value = 0;
  if (digits.size() < least || digits.size() > most) return std::nullopt;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

}  // namespace

Result<PciAddress> PciAddress::Parse(std::string_view text) {
  std::string_view domain = "0000", rest = text;
  if (const size_t first = rest.find(':'); first != std::string_view::npos && first != rest.rfind(':')) {
    domain = rest.substr(0, first);
    rest.remove_prefix(first + 1);
  }
  std::optional<uint32_t> bus, device, function;
  if (rest.size() == 7 && rest[2] == ':' && rest[5] == '.') {
    bus = ParseHex(rest.substr(0, 2), 2, 2);
    device = ParseHex(rest.substr(3, 2), 2, 2);
    function = ParseHex(rest.substr(6), 1, 1);
  }
  const auto domain_number = ParseHex(domain, 4, 8);
  if (!domain_number || !bus || !device || !function || *device > 31 || *function > 7) {
    return Fail(Error(Code::kInvalidArgument,
                      fmt::format("\"{}\" is not a PCI address such as 0000:08:00.0", text.substr(0, 40)))
                    .Reason("BAD_PCI_ADDRESS")
                    .With("address", std::string(text.substr(0, 40))));
  }
  return PciAddress{*domain_number, static_cast<uint8_t>(*bus), static_cast<uint8_t>(*device),
                    static_cast<uint8_t>(*function)};
}

std::string PciAddress::ToString() const {
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", domain, bus, device, function);
}

}  // namespace berth::host

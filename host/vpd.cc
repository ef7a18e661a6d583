#include "host/vpd.h"

#include <algorithm>
#include <fstream>
#include <vector>

namespace berth::host {
namespace {

// Tags: of large resources the whole byte, of small ones bits 6 to 3 (PCI 3.0, I.1 and I.2).
constexpr uint8_t kLarge = 0x80, kIdentifier = 0x82, kReadOnly = 0x90, kEnd = 0x78;
constexpr size_t kFieldHeader = 3;  // Keyword and length.

std::string Text(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    if (byte == 0) break;
    text += byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '?';
  }
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

void ParseFields(std::span<const uint8_t> bytes, VitalProductData* data) {
  while (bytes.size() >= kFieldHeader) {
    const std::string keyword = Text(bytes.first(2));
    const size_t length = bytes[2];
    bytes = bytes.subspan(kFieldHeader);
    if (length > bytes.size()) return;
    if (keyword.size() == 2 && keyword != "RV") data->fields.emplace(keyword, Text(bytes.first(length)));
    bytes = bytes.subspan(length);
  }
}

}  // namespace

VitalProductData ParseVpd(std::span<const uint8_t> bytes) {
  VitalProductData data;
  while (!bytes.empty()) {
    const uint8_t tag = bytes[0];
    const bool large = (tag & kLarge) != 0;
    if ((!large && (tag & kEnd) == kEnd) || (large && bytes.size() < 3)) break;
    const size_t length = large ? bytes[1] | size_t{bytes[2]} << 8 : tag & 7u;
    const size_t header = large ? 3 : 1;
    if (length > bytes.size() - header) break;
    const auto body = bytes.subspan(header, length);
    if (tag == kIdentifier) data.product = Text(body);
    if (tag == kReadOnly) ParseFields(body, &data);
    bytes = bytes.subspan(header + length);
  }
  return data;
}

VitalProductData ReadVpd(const HostRoots& roots, const PciAddress& address) {
  std::ifstream file(fmt::format("{}/bus/pci/devices/{}/vpd", roots.sys, address.ToString()),
                     std::ios::binary);
  std::vector<char> bytes(kMaxVpdBytes);
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return ParseVpd({reinterpret_cast<const uint8_t*>(bytes.data()), static_cast<size_t>(file.gcount())});
}

}  // namespace berth::host

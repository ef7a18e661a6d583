#include "host/pci_names.h"

#include <optional>

#include "host/cached_file.h"
#include "host/sysfs.h"

namespace berth::host {
namespace {

enum class Kind : uint64_t { kVendor = 1, kDevice, kClass, kSubclass };

constexpr uint64_t Key(Kind kind, uint64_t outer, uint64_t inner = 0) {
  return static_cast<uint64_t>(kind) << 32 | outer << 16 | inner;
}

// "25b6  GA107GL": the number, of exactly `digits` digits, and what follows the blanks.
std::optional<std::pair<uint16_t, std::string>> ParseEntry(std::string_view line, size_t digits) {
  if (line.size() < digits + 3 || line.substr(digits, 2) != "  ") return std::nullopt;
  const auto id = ParseHexNumber(line.substr(0, digits));
  if (!id || *id < 0) return std::nullopt;
  return std::pair(static_cast<uint16_t>(*id), std::string(TrimBlanks(line.substr(digits + 2))));
}

}  // namespace

PciNames PciNames::Parse(std::string_view text) {
  PciNames result;
  bool in_classes = false;
  std::optional<uint16_t> outer;
  for (std::string_view line : SplitLines(text)) {
    if (line.empty() || line[0] == '#' || line.starts_with("\t\t")) continue;
    const bool inner = line[0] == '\t';
    if (inner) {
      line.remove_prefix(1);
    } else if ((in_classes = line.starts_with("C "))) {
      line.remove_prefix(2);
    }
    auto entry = ParseEntry(line, in_classes ? 2 : 4);
    if (!inner) outer = entry ? std::optional(entry->first) : std::nullopt;
    if (!entry || !outer) continue;
    const uint64_t key = inner ? Key(in_classes ? Kind::kSubclass : Kind::kDevice, *outer, entry->first)
                               : Key(in_classes ? Kind::kClass : Kind::kVendor, *outer);
    result.names_.emplace(key, std::move(entry->second));
  }
  return result;
}

std::shared_ptr<const PciNames> PciNames::Load(const std::string& path) { return LoadCached<PciNames>(path); }

std::string PciNames::Vendor(uint16_t vendor_id) const {
  const auto found = names_.find(Key(Kind::kVendor, vendor_id));
  return found == names_.end() ? std::string() : found->second;
}

std::string PciNames::Device(uint16_t vendor_id, uint16_t device_id) const {
  const auto found = names_.find(Key(Kind::kDevice, vendor_id, device_id));
  return found == names_.end() ? std::string() : found->second;
}

std::string PciNames::Class(uint32_t class_code) const {
  const uint32_t base = class_code >> 16 & 0xff, sub = class_code >> 8 & 0xff;
  auto found = names_.find(Key(Kind::kSubclass, base, sub));
  if (found == names_.end()) found = names_.find(Key(Kind::kClass, base));
  return found == names_.end() ? std::string() : found->second;
}

}  // namespace berth::host

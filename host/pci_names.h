// Names of PCI vendors, devices and classes from a pci.ids file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

namespace berth::host {

class PciNames {
 public:
  // Reads `path` once and again only after it changed; a file that is missing or makes no sense knows no
  // names. Any thread.
  static std::shared_ptr<const PciNames> Load(const std::string& path);
  // The format is described at the top of the file itself: vendors at the start of a line, devices after one
  // tab, subsystems after two; classes after "C ".
  static PciNames Parse(std::string_view text);

  // Empty if unknown.
  std::string Vendor(uint16_t vendor_id) const;
  std::string Device(uint16_t vendor_id, uint16_t device_id) const;
  // Of the subclass where it has a name, else of the base class.
  std::string Class(uint32_t class_code) const;

 private:
  // By kind and numbers; see Key in the implementation.
  std::unordered_map<uint64_t, std::string> names_;
};

}  // namespace berth::host

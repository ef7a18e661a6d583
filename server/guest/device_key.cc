#include "server/guest/device_key.h"

#include <algorithm>
#include <charconv>

namespace berth::server {

std::string PciKey(const host::PciAddress& address) { return "pci/" + address.ToString(); }

std::string VfKey(const host::PciAddress& physical_function, int index) {
  return fmt::format("vf/{}/{}", physical_function.ToString(), index);
}

std::string MdevKey(const std::string& uuid) { return "mdev/" + uuid; }

std::string KeyOf(const host::PciFunction& function) {
  if (function.physical_function && function.vf_index) {
    return VfKey(*function.physical_function, *function.vf_index);
  }
  return PciKey(function.address);
}

std::optional<std::pair<host::PciAddress, int>> ParseVfKey(const std::string& key) {
  if (!key.starts_with("vf/")) return std::nullopt;
  const size_t slash = key.rfind('/');
  const auto address = host::PciAddress::Parse(std::string_view(key).substr(3, slash < 3 ? 0 : slash - 3));
  int index = -1;
  std::from_chars(key.data() + slash + 1, key.data() + key.size(), index);
  if (!address || index < 0) return std::nullopt;
  return std::pair(*address, index);
}

std::string VgpuTypeName(int id) { return fmt::format("nvidia-{}", id); }

std::optional<int> ParseVgpuTypeName(const std::string& name) {
  constexpr std::string_view kPrefix = "nvidia-";
  int id = 0;
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), id);
  if (id <= 0 || VgpuTypeName(id) != name) return std::nullopt;
  return id;
}

std::string PciDeviceName(const host::PciAddress& address) {
  std::string id = address.ToString();
  std::replace_if(
      id.begin(), id.end(), [](char c) { return c == ':' || c == '.'; }, '-');
  return "host/devices/pci-" + id;
}

std::string MdevDeviceName(const std::string& uuid) { return "host/devices/mdev-" + uuid; }
std::string MdevParentName(const std::string& parent) { return "host/devices/parent-" + parent; }

}  // namespace berth::server

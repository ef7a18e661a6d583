#include "host/pci.h"

#include <algorithm>
#include <charconv>

#include "host/pci_names.h"
#include "host/sysfs.h"

namespace berth::host {
namespace {

// Resource flags as the kernel prints them (include/linux/ioport.h).
constexpr uint64_t kResourceIo = 0x100, kResourceMemory = 0x200, kResourcePrefetch = 0x2000,
                   kResource64 = 0x100000, kResourceUnset = 0x20000000;
constexpr int kMaxVfs = 65535;

constexpr char kDevices[] = "/bus/pci/devices";

// "0xSTART 0xEND 0xFLAGS" a line, for the six BARs, the ROM, and then things that are no BARs.
std::vector<PciBar> ParseBars(std::string_view text) {
  std::vector<PciBar> bars;
  int index = 0;
  for (const std::string_view line : SplitLines(text)) {
    if (index > kRomIndex) break;
    const std::vector<std::string> words = SplitWords(line);
    uint64_t number[3] = {};
    bool good = words.size() == 3;
    for (size_t i = 0; good && i < 3; ++i) {
      const std::string& word = words[i];
      const auto [end, error] = std::from_chars(word.data() + 2, word.data() + word.size(), number[i], 16);
      good = word.starts_with("0x") && error == std::errc() && end == word.data() + word.size();
    }
    const auto [start, last, flags] = number;
    if (good && last > start && last - start < UINT64_MAX && (flags & (kResourceIo | kResourceMemory)) != 0) {
      bars.push_back({.index = index,
                      .address = (flags & kResourceUnset) != 0 ? 0 : start,
                      .size_bytes = last - start + 1,
                      .io = (flags & kResourceIo) != 0,
                      .is_64bit = (flags & kResource64) != 0,
                      .prefetchable = (flags & kResourcePrefetch) != 0});
    }
    ++index;
  }
  return bars;
}

// A link whose name is a PCI address: physfn, virtfn3.
std::optional<PciAddress> LinkedFunction(const SysfsDirectory& directory, const std::string& name) {
  const auto target = directory.LinkName(name);
  const auto address = target ? PciAddress::Parse(*target) : Fail(Code::kNotFound, "");
  return address ? std::optional(*address) : std::nullopt;
}

std::optional<int> NonNegative(std::optional<int64_t> number) {
  if (!number || *number < 0 || *number > INT32_MAX) return std::nullopt;
  return static_cast<int>(*number);
}

SriovCapability ReadSriov(const SysfsDirectory& directory, const std::vector<std::string>& names) {
  SriovCapability sriov;
  const auto count = [&](const char* name) { return NonNegative(directory.Number(name)).value_or(0); };
  sriov.total_vfs = count("sriov_totalvfs");
  sriov.num_vfs = std::min(count("sriov_numvfs"), kMaxVfs);
  sriov.offset = count("sriov_offset");
  sriov.stride = count("sriov_stride");
  sriov.vf_device_id =
      static_cast<uint16_t>(ParseHexNumber(directory.Text("sriov_vf_device").value_or("")).value_or(0));
  sriov.drivers_autoprobe = directory.Number("sriov_drivers_autoprobe").value_or(1) != 0;
  sriov.vfs.resize(sriov.num_vfs);
  for (const std::string& name : names) {
    if (!name.starts_with("virtfn")) continue;
    const auto index = NonNegative(ParseNumber(name.substr(6)));
    if (index && *index < sriov.num_vfs) sriov.vfs[*index] = LinkedFunction(directory, name);
  }
  return sriov;
}

// KEY=VALUE lines: one read for what would take five.
void ApplyUevent(std::string_view text, PciFunction& function) {
  const auto pair = [](std::string_view value, uint16_t& first, uint16_t& second) {
    const size_t colon = std::min(value.find(':'), value.size());
    first = static_cast<uint16_t>(ParseHexNumber(value.substr(0, colon)).value_or(0));
    second =
        static_cast<uint16_t>(ParseHexNumber(value.substr(std::min(colon + 1, value.size()))).value_or(0));
  };
  for (const std::string_view line : SplitLines(text)) {
    const size_t equals = std::min(line.find('='), line.size());
    const std::string_view key = line.substr(0, equals);
    const std::string_view value = TrimBlanks(line.substr(std::min(equals + 1, line.size())));
    if (key == "PCI_CLASS") function.class_code = ParseHexNumber(value).value_or(0) & 0xffffff;
    if (key == "PCI_ID") pair(value, function.vendor_id, function.device_id);
    if (key == "PCI_SUBSYS_ID") pair(value, function.subsystem_vendor_id, function.subsystem_device_id);
  }
}

// "16.0 GT/s PCIe"; 0 for "Unknown".
int SpeedOf(const std::string& text) {
  double gtps = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), gtps);
  const bool good = error == std::errc() && std::string_view(end).starts_with(" GT/s");
  return good && gtps > 0 && gtps < 10'000 ? static_cast<int>(gtps * 1000) : 0;
}

std::optional<PciLink> ReadLink(const SysfsDirectory& directory) {
  const auto speed = [&](const char* name) { return SpeedOf(directory.Text(name).value_or("")); };
  const auto width = [&](const char* name) { return NonNegative(directory.Number(name)).value_or(0); };
  const PciLink link{.speed_mtps = speed("current_link_speed"),
                     .max_speed_mtps = speed("max_link_speed"),
                     .width = width("current_link_width"),
                     .max_width = width("max_link_width")};
  if (link.speed_mtps == 0) return std::nullopt;
  return link;
}

uint16_t HexId(const SysfsDirectory& directory, const char* name) {
  return static_cast<uint16_t>(ParseHexNumber(directory.Text(name).value_or("")).value_or(0));
}

PciFunction ReadFunction(const SysfsDirectory& directory, const PciAddress& address) {
  PciFunction function{.address = address};
  const std::vector<std::string> names = directory.Names();
  const auto has = [&](const char* name) { return std::binary_search(names.begin(), names.end(), name); };

  ApplyUevent(directory.Text("uevent").value_or(""), function);
  if (function.vendor_id == 0) {  // A tree without uevent files.
    function.vendor_id = HexId(directory, "vendor");
    function.device_id = HexId(directory, "device");
    function.subsystem_vendor_id = HexId(directory, "subsystem_vendor");
    function.subsystem_device_id = HexId(directory, "subsystem_device");
    function.class_code = ParseHexNumber(directory.Text("class").value_or("")).value_or(0) & 0xffffff;
  }
  function.revision = static_cast<uint8_t>(HexId(directory, "revision"));
  if (const auto group = directory.LinkName("iommu_group")) {
    function.iommu_group = NonNegative(ParseNumber(*group));
  }
  function.numa_node = NonNegative(directory.Number("numa_node"));
  function.driver = directory.LinkName("driver").value_or("");
  function.driver_override = directory.Text("driver_override").value_or("");
  if (function.driver_override == "(null)") function.driver_override.clear();
  function.bars = ParseBars(directory.Text("resource").value_or(""));
  if (has("sriov_totalvfs")) function.sriov = ReadSriov(directory, names);
  if (has("physfn")) function.physical_function = LinkedFunction(directory, "physfn");
  if (has("reset_method")) function.reset_methods = SplitWords(directory.Text("reset_method").value_or(""));
  if (has("net")) function.interfaces = directory.Enter("net").Names();
  if (has("boot_vga")) function.boot_vga = directory.Number("boot_vga") == 1;
  if (has("power_state")) function.power_state = directory.Text("power_state").value_or("");
  if (has("max_link_speed")) function.link = ReadLink(directory);
  if (has("nvidia")) function.vgpu = ReadVendorVgpu(directory.Enter("nvidia"));
  return function;
}

// The device's own place in the tree, .../0000:00:03.0/0000:08:00.0, names the bridge above it.
std::optional<PciAddress> ParentOf(const SysfsDirectory& devices, const std::string& name) {
  std::string target = devices.Link(name).value_or("");
  target.resize(target.rfind('/') == std::string::npos ? 0 : target.rfind('/'));
  const auto parent = PciAddress::Parse(target.substr(target.rfind('/') + 1));
  return parent ? std::optional(*parent) : std::nullopt;
}

void SetVfIndex(const SysfsDirectory& devices, PciFunction& function) {
  const SysfsDirectory parent = devices.Enter(function.physical_function->ToString());
  for (const std::string& name : parent.Names()) {
    if (!name.starts_with("virtfn") || LinkedFunction(parent, name) != function.address) continue;
    function.vf_index = NonNegative(ParseNumber(name.substr(6)));
  }
}

}  // namespace

std::vector<PciFunction> ReadPciFunctions(const HostRoots& roots) {
  std::vector<PciFunction> functions;
  const auto names = PciNames::Load(roots.pci_ids);
  const SysfsDirectory devices(roots.sys + kDevices);
  for (const std::string& name : devices.Names()) {
    const auto address = PciAddress::Parse(name);
    if (!address) continue;
    const SysfsDirectory directory = devices.Enter(name);
    if (!directory.exists()) continue;  // Gone since the listing.
    PciFunction function = ReadFunction(directory, *address);
    function.parent = ParentOf(devices, name);
    function.vendor_name = names->Vendor(function.vendor_id);
    function.device_name = names->Device(function.vendor_id, function.device_id);
    function.class_name = names->Class(function.class_code);
    functions.push_back(std::move(function));
  }
  const auto by_address = [](const PciFunction& a, const PciFunction& b) { return a.address < b.address; };
  std::sort(functions.begin(), functions.end(), by_address);
  for (const PciFunction& parent : functions) {
    for (size_t i = 0; parent.sriov && i < parent.sriov->vfs.size(); ++i) {
      if (!parent.sriov->vfs[i]) continue;
      const auto vf = std::lower_bound(functions.begin(), functions.end(),
                                       PciFunction{.address = *parent.sriov->vfs[i]}, by_address);
      if (vf != functions.end() && vf->address == *parent.sriov->vfs[i]) vf->vf_index = static_cast<int>(i);
    }
  }
  return functions;
}

Result<PciFunction> ReadPciFunction(const HostRoots& roots, const PciAddress& address) {
  const SysfsDirectory devices(roots.sys + kDevices);
  const SysfsDirectory directory = devices.Enter(address.ToString());
  if (!directory.exists()) {
    return Fail(Error(Code::kNotFound, fmt::format("the host has no PCI function {}", address.ToString()))
                    .Reason("DEVICE_NOT_FOUND")
                    .With("device", address.ToString()));
  }
  PciFunction function = ReadFunction(directory, address);
  function.parent = ParentOf(devices, address.ToString());
  if (function.physical_function) SetVfIndex(devices, function);
  return function;
}

std::string Describe(const PciFunction& function) {
  const std::string vendor =
      function.vendor_name.empty() ? fmt::format("{:04x}", function.vendor_id) : function.vendor_name;
  const std::string device =
      function.device_name.empty() ? fmt::format("{:04x}", function.device_id) : function.device_name;
  return fmt::format("{} ({}{}{})", function.address.ToString(), vendor,
                     function.vendor_name.empty() ? ":" : " ", device);
}

}  // namespace berth::host

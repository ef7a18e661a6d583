#include "tests/fakes/sample_host.h"

namespace berth::host {
namespace {

PciAddress At(const char* text) { return *PciAddress::Parse(text); }

PciFunction Function(const char* address, uint16_t vendor, uint16_t device, uint32_t class_code,
                     std::optional<int> group, int node, const char* driver) {
  PciFunction function;
  function.address = At(address);
  function.vendor_id = vendor;
  function.device_id = device;
  function.class_code = class_code;
  function.iommu_group = group;
  function.numa_node = node;
  function.driver = driver;
  return function;
}

void AddNode(HostSnapshot& host, int id) {
  NumaNode node{.id = id};
  for (int i = 0; i < 4; ++i) {
    const int cpu = id * 4 + i;
    const int core = cpu / 2 * 2;
    node.cpus.Insert(cpu);
    host.cpus.present.Insert(cpu);
    host.cpus.online.Insert(cpu);
    host.cpus.cpus.push_back({.id = cpu,
                              .online = true,
                              .socket = id,
                              .die = 0,
                              .core = i / 2,
                              .node = id,
                              .siblings = {core, core + 1}});
  }
  node.memory_total_bytes = 4 * kGiB;
  node.memory_free_bytes = 3 * kGiB + kGiB / 2;
  node.memory_available_bytes = 3 * kGiB + kGiB / 2;
  node.huge_pages = {{.page_size_bytes = 2 * kMiB, .total_pages = 64, .free_pages = 64}};
  node.distances = id == 0 ? std::vector{10, 20} : std::vector{20, 10};
  host.memory.nodes.push_back(node);
}

}  // namespace

HostSnapshot SampleHost() {
  HostSnapshot host{.kernel_release = "6.12.0-sample", .boot_id = "boot-1"};
  AddNode(host, 0);
  AddNode(host, 1);
  host.memory.total_bytes = 8 * kGiB;
  host.memory.available_bytes = 7 * kGiB;
  host.memory.default_huge_page_bytes = 2 * kMiB;

  host.functions.push_back(Function("0000:00:1f.2", 0x8086, 0x2922, 0x010601, 4, 0, "ahci"));
  host.functions.push_back(Function("0000:00:1f.3", 0x8086, 0x2930, 0x0c0500, 4, 0, "i801_smbus"));
  host.functions.push_back(Function("0000:01:00.0", 0x8086, 0x10c9, 0x020000, 1, 1, "igb"));
  host.functions.back().sriov =
      SriovCapability{.total_vfs = 7, .num_vfs = 0, .offset = 128, .stride = 2, .vf_device_id = 0x10ca};
  host.functions.back().interfaces = {"enp1s0"};
  host.functions.push_back(Function("0000:02:00.0", 0x1b36, 0x0010, 0x010802, 2, 0, "nvme"));
  host.functions.back().sriov = SriovCapability{.total_vfs = 4, .num_vfs = 2, .offset = 1, .stride = 1};
  host.functions.back().sriov->vfs = {At("0000:02:00.1"), At("0000:02:00.2")};
  for (int i = 0; i < 2; ++i) {
    host.functions.push_back(
        Function(i == 0 ? "0000:02:00.1" : "0000:02:00.2", 0x1b36, 0x0010, 0x010802, 5 + i, 0, ""));
    host.functions.back().physical_function = At("0000:02:00.0");
    host.functions.back().vf_index = i;
  }
  host.functions.push_back(Function("0000:03:00.0", 0x1234, 0x1111, 0x038000, 3, 0, ""));
  host.functions.push_back(Function("0000:04:00.0", 0x1234, 0x11e8, 0x00ff00, std::nullopt, 0, ""));

  for (const PciFunction& function : host.functions) {
    if (!function.iommu_group) continue;
    auto group = std::find_if(host.groups.begin(), host.groups.end(),
                              [&](const auto& known) { return known.id == *function.iommu_group; });
    if (group == host.groups.end())
      group = host.groups.insert(group, IommuGroup{.id = *function.iommu_group});
    group->functions.push_back(function.address);
  }
  std::sort(host.groups.begin(), host.groups.end(), [](const auto& a, const auto& b) { return a.id < b.id; });

  host.mdev_parents.push_back({.name = "mtty"});
  host.mdev_parents.back().types = {{.id = "mtty-1", .name = "Single port serial", .available_instances = 0},
                                    {.id = "mtty-2", .name = "Dual port serial", .available_instances = 12}};
  host.mdevs.push_back({.uuid = "11111111-2222-4333-8444-555555555555",
                        .parent = "mtty",
                        .type = "mtty-2",
                        .driver = "mtty",
                        .iommu_group = 20});
  host.interfaces.push_back(
      {.name = "br0", .mac = "52:54:00:00:00:01", .mtu = 1500, .state = "up", .bridge = true});
  host.interfaces.push_back({.name = "enp1s0", .mac = "52:54:00:00:00:02", .mtu = 1500, .state = "up"});
  return host;
}

}  // namespace berth::host

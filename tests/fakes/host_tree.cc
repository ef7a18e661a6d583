#include "tests/fakes/host_tree.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "host/cpu_set.h"
#include "host/pci.h"

namespace berth::host {
namespace {

namespace fs = std::filesystem;
constexpr char kPci[] = "sys/bus/pci/devices/";

}  // namespace

HostTree::HostTree() : roots_(HostRoots::At(directory_.path())) {
  Write("proc/sys/kernel/osrelease", "6.12.0-test\n");
  Write("proc/sys/kernel/random/boot_id", "7e0cbd1c-4f7a-4d0e-9c1f-0a6f1c9b1b11\n");
  Write("sys/bus/pci/drivers_probe", "");
  fs::create_directories(path() + "/sys/bus/pci/devices");
}

void HostTree::Write(const std::string& file, std::string_view text) {
  const fs::path whole = fs::path(path()) / file;
  fs::create_directories(whole.parent_path());
  std::ofstream(whole, std::ios::binary) << text;
}

std::string HostTree::Read(const std::string& file) const {
  std::ostringstream text;
  text << std::ifstream(fs::path(path()) / file, std::ios::binary).rdbuf();
  return text.str();
}

void HostTree::Link(const std::string& link, const std::string& target) {
  const fs::path whole = fs::path(path()) / link;
  fs::create_directories(whole.parent_path());
  fs::remove(whole);
  // As the kernel spells it: by way of the target's parent, even where the target is above the link.
  const fs::path end = (fs::path(path()) / target).lexically_normal();
  const fs::path named = end.filename().empty() ? end.parent_path() : end;
  fs::create_symlink(named.parent_path().lexically_relative(whole.parent_path()) / named.filename(), whole);
}

void HostTree::Remove(const std::string& file) { fs::remove_all(fs::path(path()) / file); }

bool HostTree::Has(const std::string& file) const {
  return fs::symlink_status(fs::path(path()) / file).type() != fs::file_type::not_found;
}

void HostTree::AddCpusAndMemory(int nodes, int cores_per_node, int threads, uint64_t mib_per_node,
                                const std::vector<FakeHugePages>& huge_pages) {
  const int cores = nodes * cores_per_node;
  for (int cpu = 0; cpu < cores * threads; ++cpu) {
    const int core = cpu % cores, node = core / cores_per_node;
    CpuSet siblings;
    for (int thread = 0; thread < threads; ++thread) siblings.Insert(thread * cores + core);
    const std::string directory = fmt::format("sys/devices/system/cpu/cpu{}", cpu);
    Write(directory + "/topology/physical_package_id", fmt::format("{}\n", node));
    Write(directory + "/topology/die_id", "0\n");
    Write(directory + "/topology/core_id", fmt::format("{}\n", core % cores_per_node));
    Write(directory + "/topology/thread_siblings_list", siblings.ToString() + "\n");
    Link(fmt::format("{}/node{}", directory, node), fmt::format("sys/devices/system/node/node{}", node));
  }
  Write("sys/devices/system/cpu/present", fmt::format("0-{}\n", cores * threads - 1));
  Write("sys/devices/system/cpu/online", fmt::format("0-{}\n", cores * threads - 1));
  Write("sys/devices/system/node/online", fmt::format("0-{}\n", nodes - 1));
  for (int node = 0; node < nodes; ++node) {
    const std::string directory = fmt::format("sys/devices/system/node/node{}", node);
    CpuSet cpus;
    for (int thread = 0; thread < threads; ++thread) {
      for (int core = 0; core < cores_per_node; ++core)
        cpus.Insert(thread * cores + node * cores_per_node + core);
    }
    Write(directory + "/cpulist", cpus.ToString() + "\n");
    Write(directory + "/meminfo",
          fmt::format("Node {0} MemTotal:       {1} kB\nNode {0} MemFree:        {2} kB\n"
                      "Node {0} Inactive(file): 1024 kB\n",
                      node, mib_per_node * 1024, mib_per_node * 512));
    std::string distances;
    for (int other = 0; other < nodes; ++other) distances += fmt::format("{} ", other == node ? 10 : 21);
    Write(directory + "/distance", distances + "\n");
    for (const FakeHugePages& pool : huge_pages) {
      const std::string place = fmt::format("{}/hugepages/hugepages-{}kB/", directory, pool.size_kib);
      Write(place + "nr_hugepages", fmt::format("{}\n", pool.total));
      Write(place + "free_hugepages", fmt::format("{}\n", pool.free));
      Write(place + "surplus_hugepages", "0\n");
    }
  }
  Write("proc/meminfo",
        fmt::format("MemTotal: {} kB\nMemFree: {} kB\nMemAvailable: {} kB\nHugepagesize: 2048 kB\n",
                    nodes * mib_per_node * 1024, nodes * mib_per_node * 512, nodes * mib_per_node * 768));
}

void HostTree::AddDriver(const std::string& driver) {
  Write("sys/bus/pci/drivers/" + driver + "/bind", "");
  Write("sys/bus/pci/drivers/" + driver + "/unbind", "");
}

std::string HostTree::FunctionPath(const std::string& address) const {
  const fs::path real = fs::weakly_canonical(fs::path(path()) / (kPci + address));
  return real.lexically_relative(fs::weakly_canonical(path())).string();
}

void HostTree::AddFunction(const FakeFunction& function) {
  const std::string bus = function.parent.empty() ? "sys/devices/pci" + function.address.substr(0, 7)
                                                  : FunctionPath(function.parent);
  const std::string place = bus + "/" + function.address;
  const auto write = [&](const char* file, const std::string& text) {
    Write(place + "/" + file, text + "\n");
  };
  write("vendor", fmt::format("0x{:04x}", function.vendor_id));
  write("device", fmt::format("0x{:04x}", function.device_id));
  write("class", fmt::format("0x{:06x}", function.class_code));
  write("revision", "0x01");
  write("numa_node", std::to_string(function.numa_node));
  write("driver_override", "(null)");
  write("resource", function.resource);
  write("reset_method", function.reset_methods);
  write("power_state", "D0");
  write("uevent",
        fmt::format("PCI_CLASS={:X}\nPCI_ID={:04X}:{:04X}\nPCI_SUBSYS_ID=8086:A03C\nPCI_SLOT_NAME={}",
                    function.class_code, function.vendor_id, function.device_id, function.address));
  Link(kPci + function.address, place);
  if (function.iommu_group >= 0) {
    const std::string group = fmt::format("sys/kernel/iommu_groups/{}", function.iommu_group);
    Write(group + "/type", "DMA\n");
    Write(group + "/reserved_regions", "0x00000000fee00000 0x00000000feefffff msi\n");
    Link(group + "/devices/" + function.address, place);
    Link(place + "/iommu_group", group);
  }
  if (!function.driver.empty()) {
    AddDriver(function.driver);
    Link(place + "/driver", "sys/bus/pci/drivers/" + function.driver);
  }
}

void HostTree::RemoveFunction(const std::string& address) {
  const std::string place = FunctionPath(address);
  if (const auto group = fs::weakly_canonical(fs::path(path()) / place / "iommu_group");
      fs::is_directory(group)) {
    fs::remove_all(group);
  }
  Remove(place);
  Remove(kPci + address);
}

void HostTree::AddSriov(const std::string& address, int total, int offset, int stride, uint16_t vf_device_id,
                        int first_group) {
  const std::string place = FunctionPath(address) + "/";
  Write(place + "sriov_totalvfs", fmt::format("{}\n", total));
  Write(place + "sriov_numvfs", "0\n");
  Write(place + "sriov_offset", fmt::format("{}\n", offset));
  Write(place + "sriov_stride", fmt::format("{}\n", stride));
  Write(place + "sriov_vf_device", fmt::format("{:x}\n", vf_device_id));
  Write(place + "sriov_drivers_autoprobe", "1\n");
  Write("fake/first_group/" + address, std::to_string(first_group));
}

void HostTree::AddMdevType(const std::string& parent_path, const std::string& type, int instances) {
  const std::string name = fs::path(parent_path).filename();
  const std::string place = parent_path + "/mdev_supported_types/" + type + "/";
  Write(place + "name", "Name of " + type + "\n");
  Write(place + "device_api", "vfio-pci\n");
  Write(place + "available_instances", fmt::format("{}\n", instances));
  Write(place + "create", "");
  Link("sys/class/mdev_bus/" + name, parent_path);
}

void HostTree::AddVendorVgpu(const std::string& address, const std::string& types) {
  const std::string place = FunctionPath(address) + "/nvidia/";
  Write(place + "current_vgpu_type", "0\n");
  Write(place + "creatable_vgpu_types", "ID    : vGPU Name\n" + types);
  Write("fake/vgpu_types/" + address, "ID    : vGPU Name\n" + types);
}

void HostTree::AddInterface(const std::string& name, const std::string& address) {
  const std::string device = address.empty() ? "sys/devices/virtual" : FunctionPath(address);
  const std::string place = device + "/net/" + name;
  Write(place + "/address", "52:54:00:12:34:56\n");
  Write(place + "/mtu", "1500\n");
  Write(place + "/operstate", "up\n");
  if (!address.empty()) Link(place + "/device", device);
  Link("sys/class/net/" + name, place);
}

void HostTree::AddCgroupMount() {
  Write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
  Write("sys/fs/cgroup/cgroup.subtree_control", "\n");
  Write("sys/fs/cgroup/cgroup.procs", "1\n");
}

std::map<std::string, std::string> HostTree::Dump() const {
  std::map<std::string, std::string> dump;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(path())) {
    const std::string name = entry.path().lexically_relative(path()).string();
    if (entry.is_symlink()) {
      dump[name] = "-> " + fs::read_symlink(entry.path()).string();
    } else if (entry.is_regular_file()) {
      dump[name] = Read(name);
    }
  }
  return dump;
}

std::string Difference(const std::map<std::string, std::string>& before,
                       const std::map<std::string, std::string>& after) {
  std::string text;
  for (const auto& [name, value] : before) {
    const auto found = after.find(name);
    if (found == after.end()) text += fmt::format("gone: {}\n", name);
    if (found != after.end() && found->second != value) {
      text += fmt::format("{}: \"{}\" became \"{}\"\n", name, value, found->second);
    }
  }
  for (const auto& [name, value] : after) {
    if (!before.contains(name)) text += fmt::format("new: {} \"{}\"\n", name, value);
  }
  return text;
}

}  // namespace berth::host

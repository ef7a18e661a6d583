// A host made up in a temporary directory: sysfs, procfs, devices and cgroups composed piece by piece, as the
// kernel lays them out. FakeKernel makes it move.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "host/pci_address.h"
#include "host/roots.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::host {

struct FakeFunction {
  std::string address;
  uint16_t vendor_id = 0x8086, device_id = 0x10c9;
  uint32_t class_code = 0x020000;
  int iommu_group = -1;  // -1: none.
  int numa_node = -1;
  std::string driver;  // Empty: none. Made if there is none of the name.
  std::string parent;  // The bridge above: an address. Empty: a root bus.
  std::string resource = "0x00000000e0000000 0x00000000e001ffff 0x0000000000040200\n";
  std::string reset_methods = "flr bus";
};

struct FakeHugePages {
  uint64_t size_kib = 2048;
  int total = 0, free = 0;
};

class HostTree {
 public:
  HostTree();

  const std::string& path() const { return directory_.path(); }
  const HostRoots& roots() const { return roots_; }
  // Paths are below the root: "sys/devices/…". Directories are made as needed.
  void Write(const std::string& file, std::string_view text);
  std::string Read(const std::string& file) const;                // "" if there is none.
  void Link(const std::string& link, const std::string& target);  // Both below the root; made relative.
  void Remove(const std::string& file);
  bool Has(const std::string& file) const;

  // Nodes of `cores_per_node` cores of `threads` threads each, numbered node by node, all first threads
  // first.
  void AddCpusAndMemory(int nodes, int cores_per_node, int threads, uint64_t mib_per_node,
                        const std::vector<FakeHugePages>& huge_pages = {});
  void AddDriver(const std::string& driver);
  void AddFunction(const FakeFunction& function);
  void RemoveFunction(const std::string& address);
  // Makes the function a PF. Its VFs come one to an IOMMU group, from `first_group` on (-1: in none).
  void AddSriov(const std::string& address, int total, int offset, int stride, uint16_t vf_device_id,
                int first_group);
  void AddMdevType(const std::string& parent_path, const std::string& type, int instances);
  // Makes the function one that its vendor's driver makes a vGPU of, of one of these types ("1148 : NVIDIA
  // L40S-2Q\n").
  void AddVendorVgpu(const std::string& address, const std::string& types);
  void AddInterface(const std::string& name, const std::string& address);
  void AddCgroupMount();

  std::string FunctionPath(
      const std::string& address) const;  // Below the root: where the directory itself is.
  // Every file's text and every link's target, by path below the root: two hosts that are alike are equal.
  std::map<std::string, std::string> Dump() const;

 private:
  ScratchDir directory_;
  HostRoots roots_;
};

// What differs between two dumps, one line each, for a test's message: "" if nothing does.
std::string Difference(const std::map<std::string, std::string>& before,
                       const std::map<std::string, std::string>& after);

}  // namespace berth::host

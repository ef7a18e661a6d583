#include "tests/fakes/fake_kernel.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "host/cpu_set.h"
#include "host/pci.h"
#include "host/sysfs.h"

namespace berth::host {
namespace {

namespace fs = std::filesystem;

std::string FirstLine(const std::string& text) { return std::string(TrimBlanks(text)); }

// The part of `text` after the last `mark`, and what is before it.
std::pair<std::string, std::string> SplitLast(const std::string& text, char mark) {
  const size_t place = text.rfind(mark);
  if (place == std::string::npos) return {"", text};
  return {text.substr(0, place), text.substr(place + 1)};
}

PciAddress Virtual(const PciAddress& physical, int distance) {
  const int id = (physical.bus << 8 | physical.device << 3 | physical.function) + distance;
  return {physical.domain, static_cast<uint8_t>(id >> 8), static_cast<uint8_t>(id >> 3 & 31),
          static_cast<uint8_t>(id & 7)};
}

}  // namespace

template <typename Change>
int FakeKernel::Do(const std::string& path, std::string_view value, Change&& change) {
  const bool crash = crash_at_ > 0 && --crash_at_ == 0;
  if (crash && crash_before_) throw Crash{};
  int error = -1;
  for (Rule& rule : rules_) {
    if (rule.times == 0 || !path.ends_with(rule.path_end)) continue;
    if (rule.times > 0) --rule.times;
    error = rule.error;
    break;
  }
  const std::string file = fs::path(path).lexically_relative(tree_.path()).string();
  if (error < 0) error = change(file);
  log_.push_back(file + "=" + FirstLine(std::string(value)));
  if (crash) throw Crash{};
  return error;
}

int FakeKernel::Write(const std::string& path, std::string_view value, std::chrono::milliseconds) {
  return Do(path, value,
            [&](const std::string& file) { return Dispatch(file, FirstLine(std::string(value))); });
}

int FakeKernel::MakeDirectory(const std::string& path) {
  return Do(path, "mkdir", [&](const std::string& file) {
    if (tree_.Has(file)) return EEXIST;
    const std::string parent = SplitLast(file, '/').first;
    if (!tree_.Has(parent + "/cgroup.procs")) return ENOENT;
    for (const char* name : {"cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.subtree_control"}) {
      tree_.Write(file + "/" + name, "\n");
    }
    tree_.Write(file + "/cgroup.type", "domain\n");
    if (tree_.Read(parent + "/cgroup.subtree_control").find("cpuset") != std::string::npos)
      AddControllers(file);
    return 0;
  });
}

int FakeKernel::RemoveDirectory(const std::string& path) {
  return Do(path, "rmdir", [&](const std::string& file) {
    const fs::path whole = fs::path(tree_.path()) / file;
    if (!fs::is_directory(whole)) return ENOENT;
    for (const fs::directory_entry& entry : fs::directory_iterator(whole)) {
      if (entry.is_directory()) return EBUSY;
    }
    if (!FirstLine(tree_.Read(file + "/cgroup.procs")).empty()) return EBUSY;
    tree_.Remove(file);
    return 0;
  });
}

int FakeKernel::Dispatch(const std::string& file, const std::string& value) {
  if (!tree_.Has(file)) return ENOENT;
  const auto [directory, name] = SplitLast(file, '/');
  const auto [above, owner] = SplitLast(directory, '/');
  if (name == "unbind") return Unbind(value, owner);
  if (name == "bind") return Probe(value, owner);
  if (name == "drivers_probe") {
    if (!tree_.Has("sys/bus/pci/devices/" + value)) return ENODEV;
    (void)Probe(value, "");  // The kernel does not tell what came of it.
    return 0;
  }
  if (name == "driver_override") return tree_.Write(file, value.empty() ? "(null)\n" : value + "\n"), 0;
  if (name == "sriov_numvfs") return SetVfCount(owner, std::stoi(value));
  if (name == "create") return CreateMdev(directory, value);
  if (name == "remove") return RemoveMdev(owner);
  if (name == "current_vgpu_type") return SetVgpuType(SplitLast(above, '/').second, std::stoi(value));
  if (file.starts_with("sys/fs/cgroup")) return WriteCgroup(directory, name, value);
  tree_.Write(file, value + "\n");
  return 0;
}

int FakeKernel::Unbind(const std::string& address, const std::string& driver) {
  const std::string link = tree_.FunctionPath(address) + "/driver";
  const auto function = ReadPciFunction(tree_.roots(), PciAddress::Parse(address).value());
  if (!function || function->driver != driver) return ENODEV;
  tree_.Remove(link);
  return 0;
}

int FakeKernel::Probe(const std::string& address, const std::string& only_driver) {
  const auto parsed = PciAddress::Parse(address);
  const auto function = parsed ? ReadPciFunction(tree_.roots(), *parsed) : Result<PciFunction>(PciFunction{});
  if (!parsed || !function) return ENODEV;
  if (!function->driver.empty()) return EBUSY;
  const std::string ids = fmt::format("{:04x}:{:04x}", function->vendor_id, function->device_id);
  const std::string driver =
      function->driver_override.empty() ? default_drivers_[ids] : function->driver_override;
  if (driver.empty() || (!only_driver.empty() && driver != only_driver)) return ENODEV;
  if (!tree_.Has("sys/bus/pci/drivers/" + driver)) return ENODEV;
  if (std::find(refusing_.begin(), refusing_.end(), driver) != refusing_.end()) return EINVAL;
  if (function->physical_function && function->driver_override.empty()) {
    const auto parent = ReadPciFunction(tree_.roots(), *function->physical_function);
    if (parent && !parent->sriov->drivers_autoprobe) return ENODEV;
  }
  tree_.Link(tree_.FunctionPath(address) + "/driver", "sys/bus/pci/drivers/" + driver);
  return 0;
}

int FakeKernel::SetVfCount(const std::string& address, int count) {
  const PciFunction function = ReadPciFunction(tree_.roots(), PciAddress::Parse(address).value()).value();
  const std::string place = tree_.FunctionPath(address) + "/";
  if (count > function.sriov->total_vfs) return ERANGE;
  if (count == function.sriov->num_vfs) return 0;
  if (function.driver.empty()) return ENOENT;
  if (count != 0 && function.sriov->num_vfs != 0) return EBUSY;
  for (int i = 0; i < function.sriov->num_vfs; ++i) {
    tree_.RemoveFunction(function.sriov->vfs[i]->ToString());
    tree_.Remove(fmt::format("{}virtfn{}", place, i));
  }
  tree_.Write(place + "sriov_numvfs", fmt::format("{}\n", count));
  const int first_group = std::stoi(tree_.Read("fake/first_group/" + address));
  const std::string bus = SplitLast(tree_.FunctionPath(address), '/').first;
  for (int i = 0; i < count; ++i) {
    const std::string vf =
        Virtual(function.address, function.sriov->offset + i * function.sriov->stride).ToString();
    tree_.AddFunction({.address = vf,
                       .vendor_id = function.vendor_id,
                       .device_id = function.sriov->vf_device_id,
                       .class_code = function.class_code,
                       .iommu_group = first_group < 0 ? -1 : first_group + i,
                       .numa_node = function.numa_node.value_or(-1),
                       .parent = function.parent ? function.parent->ToString() : ""});
    tree_.Link(tree_.FunctionPath(vf) + "/physfn", tree_.FunctionPath(address));
    tree_.Link(fmt::format("{}virtfn{}", place, i), tree_.FunctionPath(vf));
    (void)Probe(vf, "");
  }
  return 0;
}

int FakeKernel::CreateMdev(const std::string& type_path, const std::string& uuid) {
  const int left = std::stoi(tree_.Read(type_path + "/available_instances"));
  if (tree_.Has("sys/bus/mdev/devices/" + uuid)) return EEXIST;
  if (left == 0) return EUSERS;
  const std::string parent = SplitLast(SplitLast(type_path, '/').first, '/').first;
  const std::string real = fs::weakly_canonical(fs::path(tree_.path()) / parent)
                               .lexically_relative(fs::weakly_canonical(tree_.path()))
                               .string();
  const std::string place = real + "/" + uuid;
  const std::string group = "sys/kernel/iommu_groups/" + std::to_string(900 + left);
  tree_.Write(type_path + "/available_instances", fmt::format("{}\n", left - 1));
  tree_.Write(place + "/remove", "");
  tree_.Link(place + "/mdev_type", real + "/mdev_supported_types/" + SplitLast(type_path, '/').second);
  tree_.Link(group + "/devices/" + uuid, place);
  tree_.Link(place + "/iommu_group", group);
  tree_.Link("sys/bus/mdev/devices/" + uuid, place);
  return 0;
}

int FakeKernel::SetVgpuType(const std::string& address, int type) {
  const auto function = ReadPciFunction(tree_.roots(), PciAddress::Parse(address).value());
  const auto& could = function->vgpu->creatable_types;
  if (type != 0 &&
      std::none_of(could.begin(), could.end(), [&](const VgpuType& one) { return one.id == type; }))
    return EIO;
  const std::string place = tree_.FunctionPath(address) + "/nvidia/";
  tree_.Write(place + "current_vgpu_type", fmt::format("{}\n", type));
  tree_.Write(place + "creatable_vgpu_types", type == 0 ? tree_.Read("fake/vgpu_types/" + address) : "\n");
  return 0;
}

int FakeKernel::RemoveMdev(const std::string& uuid) {
  const fs::path device = fs::path(tree_.path()) / "sys/bus/mdev/devices" / uuid;
  const fs::path type = fs::weakly_canonical(device / "mdev_type");
  const std::string available =
      (type / "available_instances").lexically_relative(fs::weakly_canonical(tree_.path()));
  tree_.Write(available, fmt::format("{}\n", std::stoi(tree_.Read(available)) + 1));
  fs::remove_all(fs::weakly_canonical(device / "iommu_group"));
  fs::remove_all(fs::weakly_canonical(device));
  fs::remove(device);
  return 0;
}

void FakeKernel::AddControllers(const std::string& directory) {
  for (const char* name : {"cpuset.cpus", "cpuset.mems"}) {
    if (tree_.Has(directory + "/" + name)) continue;
    const std::string inherited = tree_.Read(SplitLast(directory, '/').first + "/" + name + ".effective");
    tree_.Write(directory + "/" + name, "\n");
    tree_.Write(directory + "/" + name + ".effective", inherited.empty() ? "0-3\n" : inherited);
  }
  const std::pair<const char*, const char*> files[] = {
      {"cpu.weight", "100"}, {"cpu.max", "max 100000"},    {"memory.min", "0"},
      {"memory.low", "0"},   {"memory.high", "max"},       {"memory.max", "max"},
      {"io.max", ""},        {"io.weight", "default 100"}, {"cgroup.controllers", "cpuset cpu io memory"}};
  for (const auto& [name, value] : files) {
    if (!tree_.Has(directory + "/" + name)) tree_.Write(directory + "/" + name, std::string(value) + "\n");
  }
}

std::vector<std::string> FakeKernel::ChildrenOf(const std::string& directory) const {
  std::vector<std::string> children;
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(tree_.path()) / directory)) {
    if (entry.is_directory()) children.push_back(directory + "/" + entry.path().filename().string());
  }
  return children;
}

int FakeKernel::WriteCgroup(const std::string& directory, const std::string& name, const std::string& value) {
  const std::string file = directory + "/" + name;
  if (name == "cgroup.subtree_control") {
    tree_.Write(file, "cpuset cpu\n");
    for (const std::string& child : ChildrenOf(directory)) AddControllers(child);
    return 0;
  }
  if (name == "cgroup.kill") {
    for (const std::string& child : ChildrenOf(directory)) tree_.Write(child + "/cgroup.threads", "");
    tree_.Write(directory + "/cgroup.procs", "");
    tree_.Write(directory + "/cgroup.threads", "");
    return 0;
  }
  if (name == "cgroup.procs" || name == "cgroup.threads") {
    return tree_.Write(file, tree_.Read(file) + value + "\n"), 0;
  }
  tree_.Write(file, (name == "io.weight" ? "default " + value : value) + "\n");
  if (name != "cpuset.cpus" && name != "cpuset.mems") return 0;
  const std::string above = tree_.Read(SplitLast(directory, '/').first + "/" + name + ".effective");
  const CpuSet wanted = CpuSet::Parse(value).value(), limit = CpuSet::Parse(above).value();
  tree_.Write(file + ".effective", (above.empty() ? wanted : wanted & limit).ToString() + "\n");
  return 0;
}

}  // namespace berth::host

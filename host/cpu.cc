#include "host/cpu.h"

#include <algorithm>

#include "host/sysfs.h"

namespace berth::host {
namespace {

CpuSet ReadSet(const SysfsDirectory& directory, const std::string& name) {
  const auto text = directory.Text(name);
  return text ? CpuSet::Parse(*text).value_or(CpuSet()) : CpuSet();
}

// The number after `prefix` in "cpu12", if that is all of the name.
std::optional<int> NumberAfter(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  const auto number = name.size() > prefix.size() && name[prefix.size()] != '-'
                          ? ParseNumber(name.substr(prefix.size()))
                          : std::nullopt;
  if (!number || *number > CpuSet::kMaxNumber) return std::nullopt;
  return static_cast<int>(*number);
}

int Id(const SysfsDirectory& topology, const std::string& name) {
  return static_cast<int>(topology.Number(name).value_or(-1));
}

// The CPUs that share the cache of the highest level, instruction caches left out.
CpuSet LastLevelCacheSiblings(const SysfsDirectory& cache) {
  int64_t highest = 0;
  CpuSet siblings;
  for (const std::string& name : cache.Names()) {
    if (!NumberAfter(name, "index")) continue;
    const SysfsDirectory index = cache.Enter(name);
    const int64_t level = index.Number("level").value_or(0);
    if (level <= highest || index.Text("type") == "Instruction") continue;
    CpuSet shared = ReadSet(index, "shared_cpu_list");
    if (shared.empty()) continue;
    highest = level;
    siblings = std::move(shared);
  }
  return siblings;
}

Cpu ReadCpu(const SysfsDirectory& directory, int id, bool online) {
  Cpu cpu{.id = id, .online = online};
  for (const std::string& name : directory.Names()) {
    if (const auto node = NumberAfter(name, "node")) cpu.node = *node;
  }
  if (!online) return cpu;
  const SysfsDirectory topology = directory.Enter("topology");
  cpu.socket = Id(topology, "physical_package_id");
  cpu.die = Id(topology, "die_id");
  cpu.core = Id(topology, "core_id");
  cpu.siblings = ReadSet(topology, "thread_siblings_list");
  if (!cpu.siblings.Contains(id)) cpu.siblings = {id};
  cpu.cache_siblings = LastLevelCacheSiblings(directory.Enter("cache"));
  if (!cpu.cache_siblings.Contains(id)) cpu.cache_siblings = cpu.siblings;
  cpu.max_frequency_khz = static_cast<uint32_t>(
      std::clamp<int64_t>(directory.Enter("cpufreq").Number("cpuinfo_max_freq").value_or(0), 0, UINT32_MAX));
  return cpu;
}

}  // namespace

CpuTopology ReadCpus(const HostRoots& roots) {
  CpuTopology topology;
  const SysfsDirectory directory(roots.sys + "/devices/system/cpu");
  topology.isolated = ReadSet(directory, "isolated");
  topology.online = ReadSet(directory, "online");
  topology.present = ReadSet(directory, "present");
  topology.efficiency = ReadSet(SysfsDirectory(roots.sys + "/devices/cpu_atom"), "cpus");
  const bool know_online = !topology.online.empty();
  if (topology.present.empty()) {
    for (const std::string& name : directory.Names()) {
      if (const auto id = NumberAfter(name, "cpu")) topology.present.Insert(*id);
    }
  }
  for (const int id : topology.present) {
    const SysfsDirectory cpu = directory.Enter("cpu" + std::to_string(id));
    // A CPU that cannot be taken offline has no such file.
    const bool online = know_online ? topology.online.Contains(id) : cpu.Number("online").value_or(1) != 0;
    topology.cpus.push_back(ReadCpu(cpu, id, online));
    if (!know_online && online) topology.online.Insert(id);
  }
  return topology;
}

const Cpu* CpuTopology::Find(int id) const {
  const auto found = std::lower_bound(cpus.begin(), cpus.end(), id,
                                      [](const Cpu& cpu, int wanted) { return cpu.id < wanted; });
  return found != cpus.end() && found->id == id ? &*found : nullptr;
}

}  // namespace berth::host

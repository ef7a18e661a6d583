#include "host/numa.h"

#include <algorithm>
#include <map>

#include "base/bytes.h"
#include "host/cpu.h"
#include "host/sysfs.h"

namespace berth::host {
namespace {

// The kB values of a meminfo by name; a node's lines begin with "Node N ", which is passed over.
std::map<std::string, uint64_t> ParseMeminfo(std::string_view text) {
  std::map<std::string, uint64_t> values;
  for (std::string_view line : SplitLines(text)) {
    std::vector<std::string> words = SplitWords(line);
    if (words.size() > 2 && words[0] == "Node") words.erase(words.begin(), words.begin() + 2);
    if (words.size() < 2 || !words[0].ends_with(':')) continue;
    const auto number = ParseNumber(words[1]);
    if (!number || *number < 0 || *number > INT64_MAX / 1024) continue;
    words[0].pop_back();
    const uint64_t unit = words.size() > 2 && words[2] == "kB" ? kKiB : 1;
    values.emplace(words[0], static_cast<uint64_t>(*number) * unit);
  }
  return values;
}

uint64_t ValueOf(const std::map<std::string, uint64_t>& values, const std::string& name) {
  const auto found = values.find(name);
  return found == values.end() ? 0 : found->second;
}

uint64_t Count(const SysfsDirectory& directory, const std::string& name) {
  return static_cast<uint64_t>(std::max<int64_t>(0, directory.Number(name).value_or(0)));
}

// Directories named "hugepages-2048kB".
std::vector<HugePagePool> ReadPools(const SysfsDirectory& directory) {
  constexpr std::string_view kPrefix = "hugepages-", kSuffix = "kB";
  std::vector<HugePagePool> pools;
  for (const std::string& name : directory.Names()) {
    std::string_view size = name;
    if (!size.starts_with(kPrefix) || !size.ends_with(kSuffix)) continue;
    size.remove_prefix(kPrefix.size());
    size.remove_suffix(std::min(size.size(), kSuffix.size()));
    const auto size_kib = ParseNumber(size);
    if (!size_kib || *size_kib <= 0 || *size_kib > static_cast<int64_t>(1024 * kGiB / kKiB)) continue;
    const SysfsDirectory pool = directory.Enter(name);
    pools.push_back({.page_size_bytes = static_cast<uint64_t>(*size_kib) * kKiB,
                     .total_pages = Count(pool, "nr_hugepages"),
                     .free_pages = Count(pool, "free_hugepages"),
                     .surplus_pages = Count(pool, "surplus_hugepages")});
  }
  std::sort(pools.begin(), pools.end(),
            [](const auto& a, const auto& b) { return a.page_size_bytes < b.page_size_bytes; });
  return pools;
}

NumaNode ReadNode(const SysfsDirectory& directory, int id) {
  NumaNode node{.id = id};
  node.cpus = CpuSet::Parse(directory.Text("cpulist").value_or("")).value_or(CpuSet());
  const auto memory = ParseMeminfo(directory.Text("meminfo").value_or(""));
  node.memory_total_bytes = ValueOf(memory, "MemTotal");
  node.memory_free_bytes = ValueOf(memory, "MemFree");
  node.memory_available_bytes =
      std::min(node.memory_total_bytes, node.memory_free_bytes + ValueOf(memory, "Inactive(file)"));
  node.huge_pages = ReadPools(directory.Enter("hugepages"));
  for (const std::string& word : SplitWords(directory.Text("distance").value_or(""))) {
    node.distances.push_back(static_cast<int>(ParseNumber(word).value_or(0)));
  }
  return node;
}

// Node numbers from a tree without a list of nodes: where the CPUs say they are, or else one node with
// everything.
std::vector<NumaNode> NodesOfCpus(const HostRoots& roots) {
  std::map<int, CpuSet> cpus_of_node;
  for (const Cpu& cpu : ReadCpus(roots).cpus) cpus_of_node[std::max(cpu.node, 0)].Insert(cpu.id);
  if (cpus_of_node.empty()) cpus_of_node[0];
  std::vector<NumaNode> nodes;
  for (auto& [id, cpus] : cpus_of_node) nodes.push_back({.id = id, .cpus = std::move(cpus)});
  return nodes;
}

}  // namespace

MemoryTopology ReadMemory(const HostRoots& roots) {
  MemoryTopology topology;
  const auto memory = ParseMeminfo(SysfsDirectory(roots.proc).Text("meminfo").value_or(""));
  topology.total_bytes = ValueOf(memory, "MemTotal");
  topology.available_bytes = ValueOf(memory, "MemAvailable");
  topology.default_huge_page_bytes = ValueOf(memory, "Hugepagesize");

  const SysfsDirectory directory(roots.sys + "/devices/system/node");
  const CpuSet ids = CpuSet::Parse(directory.Text("online").value_or("")).value_or(CpuSet());
  for (const std::string& name : directory.Names()) {
    const auto id = name.starts_with("node") ? ParseNumber(name.substr(4)) : std::nullopt;
    if (!id || *id < 0 || *id > CpuSet::kMaxNumber) continue;
    if (!ids.empty() && !ids.Contains(static_cast<int>(*id))) continue;
    topology.nodes.push_back(ReadNode(directory.Enter(name), static_cast<int>(*id)));
  }
  std::sort(topology.nodes.begin(), topology.nodes.end(),
            [](const NumaNode& a, const NumaNode& b) { return a.id < b.id; });
  if (topology.nodes.empty()) topology.nodes = NodesOfCpus(roots);
  if (topology.nodes.size() == 1 && topology.nodes[0].memory_total_bytes == 0) {
    NumaNode& node = topology.nodes[0];
    node.memory_total_bytes = topology.total_bytes;
    node.memory_free_bytes = ValueOf(memory, "MemFree");
    node.memory_available_bytes = topology.available_bytes;
    if (node.huge_pages.empty())
      node.huge_pages = ReadPools(SysfsDirectory(roots.sys + "/kernel/mm/hugepages"));
  }
  // Distances that do not name every node cannot be told apart: none are better than wrong ones.
  for (NumaNode& node : topology.nodes) {
    if (node.distances.size() != topology.nodes.size()) node.distances.clear();
  }
  return topology;
}

const NumaNode* MemoryTopology::Find(int id) const {
  const auto found =
      std::find_if(nodes.begin(), nodes.end(), [id](const NumaNode& node) { return node.id == id; });
  return found == nodes.end() ? nullptr : &*found;
}

}  // namespace berth::host

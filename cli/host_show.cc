#include <ostream>

#include <fmt/ranges.h>

#include "cli/command.h"

namespace berth::cli {
namespace {

std::string HugePages(const berth::v1::HostNode& node) {
  std::vector<std::string> pools;
  for (const auto& pool : node.huge_pages()) {
    if (pool.total_pages() == 0) continue;
    pools.push_back(fmt::format("{}/{} of {}", pool.free_pages(), pool.total_pages(),
                                FormatBytes(pool.page_size_bytes())));
  }
  return fmt::format("{}", fmt::join(pools, ", "));
}

std::string Dedicated(const berth::v1::Host& host, int node) {
  std::vector<std::string> cpus;
  for (const auto& cpu : host.cpus()) {
    if (cpu.node() == node && !cpu.dedicated_to().empty()) {
      cpus.push_back(fmt::format("{}:{}", cpu.id(), cpu.dedicated_to()));
    }
  }
  return fmt::format("{}", fmt::join(cpus, " "));
}

Status Run(const Invocation& call) {
  berth::v1::GetHostRequest request;
  request.set_name("host");
  const berth::v1::Host host = TRY(call.connection.Call(&HostService::Stub::GetHost, request));
  if (call.format == OutputFormat::kName) call.out << host.name() << '\n';
  PrintMessage(call.out, call.format, host);
  if (call.format != OutputFormat::kTable) return Ok();
  const auto yes = [](bool value) { return value ? "yes" : "no"; };
  Table facts({"KERNEL", "BERTHD", "CPUS", "KVM", "IOMMU", "BRIDGES"});
  facts.Add({host.kernel_release(), host.daemon_version(), std::to_string(host.online_cpu_count()),
             yes(host.kvm_available()), yes(host.iommu_available()),
             fmt::format("{}", fmt::join(host.bridges(), ","))});
  facts.Print(call.out);
  call.out << '\n';
  Table nodes(
      {"NODE", "CPUS", "MEMORY", "AVAILABLE", "RESERVED", "HUGE PAGES FREE", "DISTANCES", "DEDICATED CPUS"});
  for (const auto& node : host.nodes()) {
    nodes.Add({std::to_string(node.id()), node.cpus(), FormatBytes(node.memory_total_bytes()),
               FormatBytes(node.memory_available_bytes()), FormatBytes(node.memory_reserved_bytes()),
               HugePages(node), fmt::format("{}", fmt::join(node.distances(), " ")),
               Dedicated(host, node.id())});
  }
  nodes.Print(call.out);
  return Ok();
}

}  // namespace

const Command kHostShow = {
    .words = "host show", .summary = "Show the host's CPUs, memory and abilities", .run = Run};

}  // namespace berth::cli

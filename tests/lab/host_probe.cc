// Changes a real host in every way that preparing a guest does, by way of stored records, and puts it back.
// Run on the lab host (tests/lab/tests/host_devices), which compares the host before and after with tools of
// its own.
//
//   usage: host-probe show | exercise BRIDGE
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "host/control/affinity.h"
#include "host/control/cgroup.h"
#include "host/control/record.h"
#include "host/snapshot.h"
#include "mdev/mdev.h"
#include "net/host/link.h"
#include "net/host/tap.h"
#include "net/host/vf.h"
#include "vfio/bind/driver.h"
#include "vfio/bind/group.h"
#include "vfio/bind/open.h"
#include "vfio/bind/sriov.h"

namespace berth {
namespace {

using host::CpuSet;
using host::HostControl;
using host::HostSnapshot;
using host::PciAddress;

constexpr char kMac[] = "52:54:00:00:07:99";

[[noreturn]] void GiveUp(const std::string& problem, int line) {
  fmt::print("host-probe: line {}: {}\n", line, problem);
  std::exit(1);
}

template <typename T>
T Must(Result<T> result, int line) {
  if (!result) {
    std::string details;
    for (const auto& [key, value] : result.error().metadata()) details += fmt::format(" {}={}", key, value);
    GiveUp(fmt::format("{} [{}]{}", result.error().ToString(), result.error().reason(), details), line);
  }
  return TakeValue(std::move(result));
}
#define MUST(expression) Must((expression), __LINE__)
#define REQUIRE(condition) ((condition) ? (void)0 : GiveUp(#condition, __LINE__))

// What a daemon that was killed in between has left.
template <typename Change>
Change Stored(const Change& change) {
  return MUST(host::Decode<Change>(host::Encode(change)));
}

void Show(const HostSnapshot& snapshot) {
  fmt::print("kernel {}\n", snapshot.kernel_release);
  for (const host::NumaNode& node : snapshot.memory.nodes) {
    fmt::print("node {} cpus={} memory={} MiB distances={}\n", node.id, node.cpus.ToString(),
               node.memory_total_bytes >> 20, fmt::join(node.distances, ","));
  }
  for (const host::PciFunction& function : snapshot.functions) {
    fmt::print("{} group={} node={} driver={} reset={} vfs={}/{} interfaces={}\n", Describe(function),
               function.iommu_group.value_or(-1), function.numa_node.value_or(-1), function.driver,
               fmt::join(function.reset_methods, ","), function.sriov ? function.sriov->num_vfs : 0,
               function.sriov ? function.sriov->total_vfs : 0, fmt::join(function.interfaces, ","));
  }
  for (const host::MdevParent& parent : snapshot.mdev_parents) {
    for (const host::MdevType& type : parent.types) {
      fmt::print("mdev {} {} available={}\n", parent.name, type.id, type.available_instances);
    }
  }
}

const host::PciFunction& FindDriver(const HostSnapshot& snapshot, const std::string& driver) {
  for (const host::PciFunction& function : snapshot.functions) {
    if (function.driver == driver) return function;
  }
  GiveUp("no function of the driver " + driver, __LINE__);
}

// A group of several functions that host drivers have.
void GroupsThatAreNotViable(const HostSnapshot& snapshot) {
  for (const host::IommuGroup& group : snapshot.groups) {
    if (group.functions.size() < 2) continue;
    const auto report = MUST(vfio::CheckGroup(snapshot, group.functions[0], {group.functions[0]}));
    const Status viable = vfio::RequireViable(report);
    if (viable) continue;
    fmt::print("not viable: {}\n", viable.error().message());
    REQUIRE(viable.error().reason() == "IOMMU_GROUP_NOT_VIABLE");
    return;
  }
  GiveUp("no group is other than viable", __LINE__);
}

// A whole function, to vfio-pci and back to the driver it had.
void WholeFunction(const HostControl& control, const PciAddress& address) {
  const auto change = Stored(MUST(vfio::PlanBind(control.roots, address)));
  MUST(vfio::Bind(control, change));
  REQUIRE(MUST(ReadPciFunction(control.roots, address)).driver == "vfio-pci");
  MUST(vfio::Restore(control, change));
  REQUIRE(MUST(ReadPciFunction(control.roots, address)).driver == change.original_driver);
}

// Somebody has the device open: the unbind does not return, and ends when the device is let go.
void HangingUnbind(const HostControl& control, const vfio::DriverChange& change) {
  UniqueFd container = MUST(vfio::OpenContainer(control.roots));
  const int number = MUST(vfio::GroupOf(control.roots, change.address));
  UniqueFd group = MUST(vfio::OpenGroup(control.roots, number));
  const auto busy = vfio::OpenGroup(control.roots, number);
  REQUIRE(!busy && busy.error().reason() == "GROUP_BUSY");
  fmt::print("busy: {}\n", busy.error().message());
  REQUIRE(busy.error().message().find(std::to_string(::getpid())) != std::string::npos);
  const int container_fd = container.get();
  REQUIRE(::ioctl(group.get(), VFIO_GROUP_SET_CONTAINER, &container_fd) == 0);
  REQUIRE(::ioctl(container_fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
  UniqueFd device(::ioctl(group.get(), VFIO_GROUP_GET_DEVICE_FD, change.address.ToString().c_str()));
  REQUIRE(static_cast<bool>(device));
  HostControl impatient = control;
  impatient.patience = std::chrono::seconds(1);
  const Status restored = vfio::Restore(impatient, change);
  REQUIRE(!restored && restored.error().reason() == "UNBIND_TIMED_OUT");
  fmt::print("hangs: {}\n", restored.error().message());
  device.Reset();
  group.Reset();
  container.Reset();
}

void VirtualFunctions(const HostControl& control, const PciAddress& pf) {
  const auto count = Stored(MUST(vfio::PlanVfs(control.roots, pf, 2, {})));
  const std::vector<PciAddress> vfs = MUST(vfio::CreateVfs(control, count));
  REQUIRE(vfs.size() == 2);
  REQUIRE(MUST(ReadPciFunction(control.roots, vfs[1])).driver.empty());
  REQUIRE(vfio::PlanVfs(control.roots, pf, 3, {vfs[0]}).error().reason() == "VFS_IN_USE");

  const auto port = net::CreateVfPort();
  const net::VfSettings wanted = {
      .mac = kMac, .vlan = net::VfVlan{100, 3}, .spoof_check = false, .trust = true};
  const auto settings = Stored(MUST(net::PlanVf(control.roots, *port, pf, 1, wanted)));
  MUST(net::ApplyVf(control.roots, *port, settings));
  REQUIRE(std::system("ip -details link show | grep 'vf 1'") == 0);
  const auto again = MUST(net::PlanVf(control.roots, *port, pf, 1, wanted));
  REQUIRE(again.original == wanted);
  const auto refused = net::PlanVf(control.roots, *port, pf, 7, wanted);
  REQUIRE(!refused && refused.error().reason() == "VF_NOT_FOUND");

  const auto binding = Stored(MUST(vfio::PlanBind(control.roots, vfs[1])));
  MUST(vfio::Bind(control, binding));
  REQUIRE(vfio::RestoreVfs(control, count, {}).error().reason() == "VFS_IN_USE");
  HangingUnbind(control, binding);

  MUST(vfio::Restore(control, binding));
  MUST(net::RestoreVf(control.roots, *port, settings));
  REQUIRE(MUST(net::PlanVf(control.roots, *port, pf, 1, wanted)).original == settings.original);
  MUST(vfio::RestoreVfs(control, count, {}));
}

void MediatedDevice(const HostControl& control) {
  const auto change = Stored(MUST(mdev::PlanMdev(control.roots, mdev::NewUuid(), "", "mtty-2")));
  const int group = MUST(mdev::CreateMdev(control, change));
  REQUIRE(MUST(vfio::GroupOf(control.roots, change.uuid)) == group);
  REQUIRE(static_cast<bool>(MUST(vfio::OpenGroup(control.roots, group))));
  REQUIRE(mdev::PlanMdev(control.roots, change.uuid, "", "mtty-1").error().reason() == "MDEV_EXISTS");
  MUST(mdev::RemoveMdev(control, change));
}

void TapOnBridge(const HostControl& control, const std::string& bridge) {
  const auto change = Stored(MUST(net::PlanTap(control.roots, "host-probe/nic0", bridge, 2)));
  const net::Tap tap = MUST(net::CreateTap(control.roots, change));
  const net::Link link = MUST(net::FindLink(tap.name));
  REQUIRE(link.up && link.master == MUST(net::FindBridge(bridge)).index);
  REQUIRE(MUST(net::OpenVhostNet(control.roots, 2)).size() == 2);
  MUST(net::RemoveTap(change));
}

// A guest's process with two threads' worth of places; removal kills it.
void Cgroup(const HostControl& control) {
  const auto change = Stored(MUST(
      host::PlanCgroup(control.roots, "host-probe", {.cpus = {1, 2}, .memory_nodes = {0}, .cpu_weight = 200},
                       {{.name = "vcpu0", .limits = {.cpus = {2}}},
                        {.name = "emulator", .limits = {.cpus = {1}, .cpu_weight = 50}}})));
  MUST(host::CreateCgroup(control, change));
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  MUST(host::MoveProcess(control, change, child));
  REQUIRE(MUST(host::GetAffinity(child)) == (CpuSet{1, 2}));
  MUST(host::MoveThread(control, change, "vcpu0", child));
  REQUIRE(MUST(host::GetAffinity(child)) == CpuSet{2});
  REQUIRE(MUST(host::ReadCgroup(control.roots, change, "vcpu0")).threads == std::vector<int>{child});
  const Status narrowed = host::SetAffinity(child, {1, 2});
  REQUIRE(!narrowed && narrowed.error().reason() == "AFFINITY_NOT_HELD");
  REQUIRE(host::ProcessesOf(control.roots, change) == std::vector<int>{child});
  MUST(host::RemoveCgroup(control, change));
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  REQUIRE(host::ListGuestCgroups(control.roots).empty());

  const auto too_much = MUST(host::PlanCgroup(control.roots, "host-probe", {.cpus = {1, 99}}, {}));
  const Status created = host::CreateCgroup(control, too_much);
  REQUIRE(!created && created.error().reason() == "CGROUP_LIMIT_NOT_HELD");
}

void Exercise(const HostControl& control, const std::string& bridge) {
  const HostSnapshot snapshot = MUST(ReadHost(control.roots));
  const auto part = [](const char* name) { fmt::print("-- {}\n", name), std::fflush(stdout); };
  part("groups that are not viable");
  GroupsThatAreNotViable(snapshot);
  part("a whole function");
  WholeFunction(control, FindDriver(snapshot, "e1000e").address);
  part("virtual functions");
  VirtualFunctions(control, FindDriver(snapshot, "igb").address);
  part("a mediated device");
  MediatedDevice(control);
  part("a tap on a bridge");
  TapOnBridge(control, bridge);
  part("a cgroup");
  Cgroup(control);
  fmt::print("host-probe: OK\n");
}

}  // namespace
}  // namespace berth

int main(int argc, char** argv) {
  const auto writer = berth::host::CreateSysfsWriter();
  const berth::host::HostControl control{
      .roots = {}, .writer = writer.get(), .patience = std::chrono::minutes(1)};  // An emulated host is slow.
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "show") {
    berth::Show(berth::Must(berth::host::ReadHost(control.roots), __LINE__));
  } else if (what == "exercise" && argc > 2) {
    berth::Exercise(control, argv[2]);
  } else {
    fmt::print(stderr, "usage: host-probe show | exercise BRIDGE\n");
    return 2;
  }
  return 0;
}

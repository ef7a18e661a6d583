#include "server/guest/real_host.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/socket.h"
#include "host/control/affinity.h"
#include "host/control/record.h"
#include "host/disk.h"
#include "host/uevent.h"
#include "mdev/mdev.h"
#include "mdev/vgpu_type.h"
#include "net/host/tap.h"
#include "server/guest/process.h"
#include "vfio/bind/driver.h"
#include "vfio/bind/open.h"
#include "vfio/bind/revive.h"
#include "vfio/bind/sriov.h"

namespace berth::server {
namespace {

// The runtime directory as a change. Its name is a guest's uid, so it is nobody else's.
struct DirectoryChange {
  std::string path;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("path", self.path);
  }
};

Result<host::PciAddress> VfAddress(const host::HostRoots& roots, const host::PciAddress& physical_function,
                                   int index) {
  const host::PciFunction function = TRY(host::ReadPciFunction(roots, physical_function));
  if (function.sriov && index < static_cast<int>(function.sriov->vfs.size()) && function.sriov->vfs[index]) {
    return *function.sriov->vfs[index];
  }
  return Fail(Error(Code::kNotFound, fmt::format("{} has no VF {}", physical_function.ToString(), index))
                  .Reason("VF_NOT_FOUND")
                  .With("device", physical_function.ToString())
                  .With("index", std::to_string(index)));
}

// Calls `use` with the change that `record` is.
template <typename Change, typename Use>
Status With(const std::string& record, Use use) {
  const Change change = TRY(host::Decode<Change>(record));
  return use(change);
}

Status MakeDirectory(const DirectoryChange& change) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(change.path).parent_path(), error);
  if (::mkdir(change.path.c_str(), 0700) != 0 && errno != EEXIST)
    return FailErrno(errno, "make {}", change.path);
  return Ok();
}

Status RemoveDirectory(const DirectoryChange& change) {
  std::error_code error;
  std::filesystem::remove_all(change.path, error);
  if (error) return FailErrno(error.value(), "remove {}", change.path);
  return Ok();
}

class RealHost final : public HostEffects {
 public:
  RealHost(host::HostControl control, std::unique_ptr<net::VfPort> vf_port, MdevQuotas mdev_quotas)
      : control_(std::move(control)), vf_port_(std::move(vf_port)), mdev_quotas_(std::move(mdev_quotas)) {}

  Result<host::HostSnapshot> Snapshot() override {
    host::HostSnapshot snapshot = TRY(host::ReadHost(control_.roots));
    ApplyMdevQuotas(mdev_quotas_, &snapshot);
    return snapshot;
  }

  Result<UniqueFd> ListenForChanges() override { return host::ListenForUevents(); }
  Status CheckAnswers(const host::PciAddress& address) override {
    return vfio::CheckAnswers(control_.roots, address);
  }
  Status ResetFunction(const host::PciAddress& address) override {
    return vfio::ResetFunction(control_, address);
  }
  host::VitalProductData Vpd(const host::PciAddress& address) override {
    return host::ReadVpd(control_.roots, address);
  }

  Result<PlannedStep> Plan(const Step& step) override {
    std::string record =
        TRY(std::visit([this](const auto& one) -> Result<std::string> { return PlanOne(one); }, step));
    return PlannedStep{.kind = KindOf(step), .record = std::move(record)};
  }

  Result<std::vector<UniqueFd>> Apply(const PlannedStep& step) override {
    if (step.kind == "tap") {
      const auto change = TRY(host::Decode<net::TapChange>(step.record));
      return TRY(net::CreateTap(control_.roots, change)).queues;
    }
    TRY(ApplyOne(step));
    return std::vector<UniqueFd>();
  }

  Status Undo(const PlannedStep& step) override {
    const std::string& record = step.record;
    if (step.kind == "runtime-directory") return With<DirectoryChange>(record, RemoveDirectory);
    if (step.kind == "vfs") {
      return With<vfio::VfCountChange>(record,
                                       [&](auto& change) { return vfio::RestoreVfs(control_, change, {}); });
    }
    if (step.kind == "vf-settings") {
      return With<net::VfChange>(
          record, [&](auto& change) { return net::RestoreVf(control_.roots, *vf_port_, change); });
    }
    if (step.kind == "driver") {
      return With<vfio::DriverChange>(record, [&](auto& change) { return vfio::Restore(control_, change); });
    }
    if (step.kind == "mdev") {
      return With<mdev::MdevChange>(record, [&](auto& change) { return mdev::RemoveMdev(control_, change); });
    }
    if (step.kind == "vgpu-type") {
      return With<mdev::VgpuTypeChange>(record,
                                        [&](auto& change) { return mdev::ClearVgpuType(control_, change); });
    }
    if (step.kind == "tap") return With<net::TapChange>(record, net::RemoveTap);
    if (step.kind == "process") {
      return With<ProcessChange>(record, [&](auto& change) {
        return EndProcess(control_.roots.proc, change, static_cast<int>(control_.patience.count()));
      });
    }
    if (step.kind == "cgroup") {
      return With<host::CgroupChange>(record,
                                      [&](auto& change) { return host::RemoveCgroup(control_, change); });
    }
    return UnknownKind(step);
  }

  Result<UniqueFd> Open(const Descriptor& descriptor) override {
    return std::visit([this](const auto& one) -> Result<UniqueFd> { return OpenOne(one); }, descriptor);
  }

  Result<std::vector<ImageFiles>> OpenImage(const FileDescriptor& image) override {
    return OpenImageChain(image);
  }

  Result<VfioDevice> Locate(const VfioDeviceName& device) override {
    if (!device.mdev_uuid.empty()) {
      return VfioDevice{.group = TRY(vfio::GroupOf(control_.roots, device.mdev_uuid)),
                        .name = device.mdev_uuid};
    }
    const host::PciAddress address =
        device.address ? *device.address
                       : TRY(VfAddress(control_.roots, device.vf->first, device.vf->second));
    return VfioDevice{.group = TRY(vfio::GroupOf(control_.roots, address)), .name = address.ToString()};
  }

  Status Place(const std::string& cgroup, const std::string& child, int id,
               const host::CpuSet& cpus) override {
    const auto change = TRY(host::Decode<host::CgroupChange>(cgroup));
    if (child.empty()) return host::MoveProcess(control_, change, id);
    TRY(host::MoveThread(control_, change, child, id));
    return host::SetAffinity(id, cpus);
  }

  Status ChangeCpus(const std::string& cgroup, const std::string& child, const host::CpuSet& cpus) override {
    const auto change = TRY(host::Decode<host::CgroupChange>(cgroup));
    TRY(host::ChangeLimits(control_, change, child, {.cpus = cpus}));
    if (child.empty()) return Ok();
    for (int thread : TRY(host::ReadCgroup(control_.roots, change, child)).threads) {
      const Status moved = host::SetAffinity(thread, cpus);
      // One that has just ended, or a kernel's worker, which is held by the cgroup alone.
      if (!moved && moved.error().reason() == "AFFINITY_NOT_HELD") return moved;
    }
    return Ok();
  }

  std::vector<std::string> FindMisplaced(const std::string& cgroup, host::GuestPlaces places) override {
    auto recorded = host::Decode<host::CgroupChange>(cgroup);
    if (!recorded) return {recorded.error().message()};
    // The CPUs may have been changed since.
    recorded->limits.cpus = places.cgroup.limits.cpus;
    for (host::CgroupChild& child : recorded->children) {
      for (const host::CgroupChild& now : places.cgroup.children) {
        if (now.name == child.name) child.limits.cpus = now.limits.cpus;
      }
    }
    places.cgroup = *std::move(recorded);
    return host::FindMisplaced(control_.roots, places);
  }

 private:
  Result<std::string> PlanOne(const RuntimeDirectoryStep& step) {
    return host::Encode(DirectoryChange{.path = step.path});
  }
  Result<std::string> PlanOne(const VfsStep& step) {
    return host::Encode(TRY(vfio::PlanVfs(control_.roots, step.physical_function, step.count, {})));
  }
  Result<std::string> PlanOne(const VfSettingsStep& step) {
    return host::Encode(
        TRY(net::PlanVf(control_.roots, *vf_port_, step.physical_function, step.vf_index, step.wanted)));
  }
  Result<std::string> PlanOne(const DriverStep& step) {
    const host::PciAddress address =
        step.address ? *step.address : TRY(VfAddress(control_.roots, step.physical_function, step.vf_index));
    return host::Encode(TRY(vfio::PlanBind(control_.roots, address)));
  }
  Result<std::string> PlanOne(const MdevStep& step) {
    return host::Encode(
        TRY(mdev::PlanMdev(control_.roots, step.uuid, step.parent, step.type, step.attributes)));
  }
  Result<std::string> PlanOne(const VgpuTypeStep& step) {
    return host::Encode(TRY(mdev::PlanVgpuType(control_.roots, step.address, step.type)));
  }
  Result<std::string> PlanOne(const TapStep& step) {
    return host::Encode(TRY(net::PlanTap(control_.roots, step.owner, step.bridge, step.queues, step.mtu)));
  }
  Result<std::string> PlanOne(const CgroupStep& step) {
    host::CgroupLimits limits = step.limits;
    for (const DiskLimit& disk : step.disks) {
      host::IoMax limit = disk.limit;
      limit.device = TRY(host::DiskOf(control_.roots, disk.path));
      for (const host::IoMax& other : limits.io_max) {
        if (other.device != limit.device) continue;
        return Fail(Error(Code::kInvalidArgument, fmt::format("{} is on a disk ({}) that has a limit already",
                                                              disk.path, limit.device))
                        .Reason("DISK_LIMITED_TWICE")
                        .Field("guest.spec.resource_policy.io_limits"));
      }
      limits.io_max.push_back(std::move(limit));
    }
    return host::Encode(TRY(host::PlanCgroup(control_.roots, step.guest, limits, step.children)));
  }

  Result<std::string> PlanOne(const ProcessStep& step) {
    return host::Encode(TRY(DescribeProcess(control_.roots.proc, step.pid)));
  }

  Status ApplyOne(const PlannedStep& step) {
    const std::string& record = step.record;
    if (step.kind == "process") return Ok();
    if (step.kind == "runtime-directory") return With<DirectoryChange>(record, MakeDirectory);
    if (step.kind == "vfs") {
      return With<vfio::VfCountChange>(
          record, [&](auto& change) { return vfio::CreateVfs(control_, change).map([](const auto&) {}); });
    }
    if (step.kind == "vf-settings") {
      return With<net::VfChange>(
          record, [&](auto& change) { return net::ApplyVf(control_.roots, *vf_port_, change); });
    }
    if (step.kind == "driver") {
      return With<vfio::DriverChange>(record, [&](auto& change) { return vfio::Bind(control_, change); });
    }
    if (step.kind == "mdev") {
      return With<mdev::MdevChange>(
          record, [&](auto& change) { return mdev::CreateMdev(control_, change).map([](int) {}); });
    }
    if (step.kind == "vgpu-type") {
      return With<mdev::VgpuTypeChange>(record,
                                        [&](auto& change) { return mdev::SetVgpuType(control_, change); });
    }
    if (step.kind == "cgroup") {
      return With<host::CgroupChange>(record,
                                      [&](auto& change) { return host::CreateCgroup(control_, change); });
    }
    return UnknownKind(step);
  }

  tl::unexpected<Error> UnknownKind(const PlannedStep& step) {
    return Fail(
        Error(Code::kDataLoss, fmt::format("\"{}\" is no kind of step", step.kind)).Reason("STORE_CORRUPT"));
  }

  Result<UniqueFd> OpenOne(const ListenerDescriptor& listener) { return ListenAt(listener.path); }
  Result<UniqueFd> OpenOne(const MemoryDescriptor& memory) { return CreateMemory(memory); }
  Result<UniqueFd> OpenOne(const FileDescriptor& file) { return OpenFile(file); }
  Result<UniqueFd> OpenOne(const TapQueueDescriptor& queue) {
    return Fail(Code::kInternal, "tap queues come from their step, {}", queue.owner);
  }
  Result<UniqueFd> OpenOne(const VfioDeviceName&) {
    return Fail(Code::kInternal, "a device's name is no file");
  }
  Result<UniqueFd> OpenOne(const KvmDescriptor&) {
    Result<UniqueFd> kvm = berth::Open(control_.roots.dev + "/kvm", O_RDWR);
    if (kvm) return kvm;
    return Fail(
        Error(Code::kFailedPrecondition,
              fmt::format("KVM is not available: {} (modprobe kvm_intel or kvm_amd)", kvm.error().message()))
            .Reason("KVM_NOT_AVAILABLE"));
  }
  Result<UniqueFd> OpenOne(const VfioContainerDescriptor&) { return vfio::OpenContainer(control_.roots); }
  Result<UniqueFd> OpenOne(const VfioGroupDescriptor& group) {
    return vfio::OpenGroup(control_.roots, group.group);
  }
  Result<UniqueFd> OpenOne(const VhostNetDescriptor&) {
    std::vector<UniqueFd> files = TRY(net::OpenVhostNet(control_.roots, 1));
    return std::move(files[0]);
  }

  const host::HostControl control_;
  const std::unique_ptr<net::VfPort> vf_port_;
  const MdevQuotas mdev_quotas_;
};

}  // namespace

std::unique_ptr<HostEffects> CreateRealHost(host::HostControl control, std::unique_ptr<net::VfPort> vf_port,
                                            MdevQuotas mdev_quotas) {
  return std::make_unique<RealHost>(std::move(control), std::move(vf_port), std::move(mdev_quotas));
}

}  // namespace berth::server

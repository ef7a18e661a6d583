#include "vfio/bind/sriov.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "host/pci.h"
#include "host/sysfs.h"

namespace berth::vfio {
namespace {

using host::HostControl;
using host::HostRoots;
using host::PciAddress;
using host::PciFunction;

std::string FilePath(const HostRoots& roots, const PciAddress& address, const char* file) {
  return fmt::format("{}/bus/pci/devices/{}/{}", roots.sys, address.ToString(), file);
}

Error Failure(Code code, const char* reason, const PciAddress& function, std::string message) {
  return Error(code, std::move(message)).Reason(reason).With("device", function.ToString());
}

Result<PciFunction> ReadPhysicalFunction(const HostRoots& roots, const PciAddress& address) {
  PciFunction function = TRY(ReadPciFunction(roots, address));
  if (function.sriov && function.sriov->total_vfs > 0) return function;
  return Fail(Failure(Code::kInvalidArgument, "NOT_A_PHYSICAL_FUNCTION", address,
                      fmt::format("{} cannot have virtual functions{}", Describe(function),
                                  function.is_virtual() ? ": it is one" : "")));
}

// Writing 0 would take these away from somebody.
Status RequireUnused(const HostRoots& roots, const PciFunction& function,
                     const std::vector<PciAddress>& claimed) {
  std::string users;
  for (const auto& address : function.sriov->vfs) {
    if (!address) continue;
    const auto vf = ReadPciFunction(roots, *address);
    const std::string driver = vf ? vf->driver : std::string();
    const bool is_claimed = std::find(claimed.begin(), claimed.end(), *address) != claimed.end();
    if (is_claimed || !driver.empty()) {
      users += fmt::format(", {} ({})", address->ToString(), is_claimed ? "claimed" : "driver " + driver);
    }
  }
  if (users.empty()) return Ok();
  return Fail(
      Failure(
          Code::kFailedPrecondition, "VFS_IN_USE", function.address,
          fmt::format("the number of virtual functions of {} cannot change, as that removes all of them and "
                      "some are in use: {}",
                      Describe(function), users.substr(2)))
          .With("vfs", users.substr(2)));
}

const char* HintFor(int error) {
  switch (error) {
    case ENOENT:
      return " (its driver does not do SR-IOV)";
    case ENOMEM:
      return " (the bridge above has too little MMIO or bus space: try pci=realloc)";
    case EBUSY:
      return " (some are enabled, or the device is locked)";
    default:
      return "";
  }
}

Status WriteCount(const HostControl& control, const PciAddress& address, int count) {
  const int error = control.writer->Write(FilePath(control.roots, address, "sriov_numvfs"),
                                          std::to_string(count), control.patience);
  if (error == 0) return Ok();
  return Fail(Failure(error == ETIMEDOUT ? Code::kDeadlineExceeded : Code::kFailedPrecondition,
                      error == ETIMEDOUT ? "VFS_NOT_SETTLED" : "VFS_NOT_CREATED", address,
                      fmt::format("cannot set the number of virtual functions of {} to {}: {}{}",
                                  address.ToString(), count, std::strerror(error), HintFor(error)))
                  .With("count", std::to_string(count))
                  .With("error", std::strerror(error)));
}

Status WriteAutoprobe(const HostControl& control, const PciAddress& address, bool on) {
  const int error = control.writer->Write(FilePath(control.roots, address, "sriov_drivers_autoprobe"),
                                          on ? "1" : "0", control.patience);
  if (error != 0) return FailErrno(error, "set sriov_drivers_autoprobe of {}", address.ToString());
  return Ok();
}

// Every VF's address once all are there, as complete as their PF.
std::optional<std::vector<PciAddress>> SettledVfs(const HostRoots& roots, const PciAddress& address,
                                                  int count) {
  const auto function = ReadPciFunction(roots, address);
  if (!function || !function->sriov || function->sriov->num_vfs != count) return std::nullopt;
  std::vector<PciAddress> addresses;
  for (const auto& vf_address : function->sriov->vfs) {
    if (!vf_address) return std::nullopt;
    const auto vf = ReadPciFunction(roots, *vf_address);
    if (!vf || !vf->is_virtual()) return std::nullopt;
    if (function->iommu_group && !vf->iommu_group) return std::nullopt;
    addresses.push_back(*vf_address);
  }
  return addresses;
}

Result<std::vector<PciAddress>> AwaitVfs(const HostControl& control, const VfCountChange& change) {
  std::optional<std::vector<PciAddress>> addresses;
  const auto settled = [&] {
    addresses = SettledVfs(control.roots, change.physical_function, change.count);
    return addresses.has_value();
  };
  if (host::WaitUntil(control.patience, settled)) return *std::move(addresses);
  return Fail(
      Failure(Code::kDeadlineExceeded, "VFS_NOT_SETTLED", change.physical_function,
              fmt::format("the {} virtual functions of {} did not all appear within {} ms", change.count,
                          change.physical_function.ToString(), control.patience.count()))
          .With("count", std::to_string(change.count)));
}

Status CreateSteps(const HostControl& control, const VfCountChange& change) {
  const bool suppress = change.suppress_probe && change.original_autoprobe;
  if (suppress) TRY(WriteAutoprobe(control, change.physical_function, false));
  if (change.original_count != 0) TRY(WriteCount(control, change.physical_function, 0));
  return WriteCount(control, change.physical_function, change.count);
}

}  // namespace

Result<VfCountChange> PlanVfs(const HostRoots& roots, const PciAddress& physical_function, int count,
                              const std::vector<PciAddress>& claimed) {
  const PciFunction function = TRY(ReadPhysicalFunction(roots, physical_function));
  if (count < 1 || count > function.sriov->total_vfs) {
    return Fail(Failure(Code::kOutOfRange, "TOO_MANY_VFS", physical_function,
                        fmt::format("{} can have 1 to {} virtual functions, not {}", Describe(function),
                                    function.sriov->total_vfs, count))
                    .With("count", std::to_string(count))
                    .With("total", std::to_string(function.sriov->total_vfs)));
  }
  const int now = function.sriov->num_vfs;
  if (now < count && function.driver.empty()) {
    return Fail(Failure(
        Code::kFailedPrecondition, "VFS_NOT_CREATED", physical_function,
        fmt::format("{} has no driver, and only its driver can make virtual functions", Describe(function))));
  }
  if (now > 0 && now < count) TRY(RequireUnused(roots, function, claimed));
  return VfCountChange{.physical_function = physical_function,
                       .count = std::max(now, count),
                       .original_count = now,
                       .suppress_probe = true,
                       .original_autoprobe = function.sriov->drivers_autoprobe};
}

Result<std::vector<PciAddress>> CreateVfs(const HostControl& control, const VfCountChange& change) {
  if (change.changes_nothing()) return AwaitVfs(control, change);
  const Status created = CreateSteps(control, change);
  auto addresses = created ? AwaitVfs(control, change)
                           : Result<std::vector<PciAddress>>(tl::make_unexpected(created.error()));
  Status probe = Ok();
  if (addresses && change.suppress_probe && change.original_autoprobe) {
    probe = WriteAutoprobe(control, change.physical_function, true);
  }
  if (addresses && probe) return addresses;
  Error error = addresses ? std::move(probe).error() : std::move(addresses).error();
  const Status restored = RestoreVfs(control, change, {});
  if (restored) return Fail(std::move(error));
  return Fail(std::move(error).With("restoreError", restored.error().message()));
}

Status RestoreVfs(const HostControl& control, const VfCountChange& change,
                  const std::vector<PciAddress>& claimed) {
  const auto function = ReadPciFunction(control.roots, change.physical_function);
  if (!function || !function->sriov || change.changes_nothing()) return Ok();
  const int now = function->sriov->num_vfs;
  const bool ours = now == change.count || now == 0;
  bool autoprobe = function->sriov->drivers_autoprobe;
  if (now != change.original_count && ours) {
    if (now != 0) TRY(RequireUnused(control.roots, *function, claimed));
    if (change.original_count != 0 && autoprobe) {
      // Those that were there had no drivers, or they would not have been taken away.
      TRY(WriteAutoprobe(control, change.physical_function, false));
      autoprobe = false;
    }
    if (now != 0) TRY(WriteCount(control, change.physical_function, 0));
    if (change.original_count != 0) TRY(WriteCount(control, change.physical_function, change.original_count));
  }
  if (autoprobe == change.original_autoprobe || !change.suppress_probe) return Ok();
  return WriteAutoprobe(control, change.physical_function, change.original_autoprobe);
}

}  // namespace berth::vfio
